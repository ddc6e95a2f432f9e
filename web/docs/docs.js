// The API reference: api/openapi.json by Swagger UI. Everything comes from this host.
addEventListener("DOMContentLoaded", () => SwaggerUIBundle({
  url: "/v1/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // else it would ask validator.swagger.io
  // asks this host (the first of the file's servers), also when another one is chosen there; a token typed in stays in the page
  requestInterceptor: (request) => {
    const asked = new URL(request.url, location);
    request.url = location.origin + asked.pathname + asked.search;
    return request;
  },
}));
