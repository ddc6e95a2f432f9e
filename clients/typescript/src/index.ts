// The HTTP API of boxoffice. Paths, parameters, bodies and answers are typed by schema.ts, which is generated from the OpenAPI file.
import createClient, { type Client, type ClientOptions } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, operations, paths } from "./schema.js";
export type Schemas = components["schemas"];
/** Every refusal: `error` of an answer. Look at its `code`. */
export type Problem = Schemas["Problem"];
export type Boxoffice = Client<paths>;

export interface BoxofficeOptions extends Omit<ClientOptions, "baseUrl"> {
  /** Of a session, a booking's link, somebody of the staff, or an API token. In a browser the cookie does it. */
  token?: string;
}

/** A client of the service at baseUrl: `boxoffice("https://tickets.example").GET("/v1/shows/{show}", ...)`. */
export function boxoffice(baseUrl: string, { token, headers, ...options }: BoxofficeOptions = {}): Boxoffice {
  const client = createClient<paths>({ baseUrl, ...(headers === undefined ? {} : { headers }), ...options });
  if (token !== undefined)
    client.use({
      onRequest({ request }) {
        request.headers.set("Authorization", `Bearer ${token}`);
        return request;
      },
    });
  return client;
}
