#!/usr/bin/env python3
"""Turns files into C tables at build time.

  embed.py sql   OUT.c OUT.h PREFIX FILE.sql ...   struct pg_stmt PREFIX_<stem> for each file
  embed.py lua   OUT.c OUT.h PREFIX FILE.lua ...   struct redis_script PREFIX_<stem> for each file
  embed.py bytes OUT.c OUT.h PREFIX FILE ...       struct embedded_file, and a table PREFIX_files ended by NULL
  embed.py pages OUT.c OUT.h PREFIX FILE ...       the same, packed by gzip too

Comments are kept: they are what a person sees in pg_stat_statements and in the slow log.
"""
import gzip
import hashlib
import pathlib
import re
import sys


def c_string(text: bytes) -> str:
    out = []
    for line in text.split(b"\n"):
        s = "".join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else f"\\{c:03o}" for c in line)
        out.append(f'\t"{s}\\n"')
    return "\n".join(out)


def ident(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def byte_array(name: str, body: bytes) -> str:
    """Ended by NUL."""
    rows = [", ".join(str(b) for b in body[i:i + 32]) for i in range(0, len(body), 32)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + (",0" if rows else "0") + "};"


def main() -> None:
    kind, out_c, out_h, prefix, *files = sys.argv[1:]
    guard = ident(pathlib.Path(out_h).name).upper()
    header = pathlib.Path(out_h).name
    c = [f'#include "{header}"', ""]
    names = []
    h = [f"#ifndef {guard}", f"#define {guard}", ""]
    if kind == "sql":
        h.append('#include "io/pg.h"\n')
    elif kind == "lua":
        h.append('#include "io/redis.h"\n')
    else:
        h.append('#include "base/embedded.h"\n')
    for f in files:
        path = pathlib.Path(f)
        data = path.read_bytes().rstrip(b"\n")
        if kind in ("bytes", "pages"):
            name = f"{prefix}_{ident(path.name)}"
            body = path.read_bytes()
            packed = gzip.compress(body, mtime=0) if kind == "pages" else b""
            c.append(byte_array(f"{name}_bytes", body))
            c.append(byte_array(f"{name}_gz", packed))
            c.append(f'const struct embedded_file {name} = {{"{path.name}", (const char *){name}_bytes, {len(body)},\n'
                     f'\t"{hashlib.sha256(body).hexdigest()[:32]}", (const char *){name}_gz, {len(packed)}}};\n')
            h.append(f"extern const struct embedded_file {name};")
            names.append(name)
            continue
        name = f"{prefix}_{ident(path.stem)}"
        names.append(name)
        if kind == "sql":
            plain = re.sub(rb"--[^\n]*", b"", data)
            n = max([int(m) for m in re.findall(rb"\$(\d+)", plain)] or [0])
            c.append(f'const struct pg_stmt {name} = {{"{name}",\n{c_string(data)},\n\t{n}}};\n')
            h.append(f"extern const struct pg_stmt {name};")
        else:
            sha = hashlib.sha1(data + b"\n").hexdigest()
            c.append(f'const struct redis_script {name} = {{"{name}",\n{c_string(data)},\n\t"{sha}"}};\n')
            h.append(f"extern const struct redis_script {name};")
    ctype = {"sql": "struct pg_stmt", "lua": "struct redis_script", "bytes": "struct embedded_file", "pages": "struct embedded_file"}[kind]
    what = {"sql": "statements", "lua": "scripts", "bytes": "files", "pages": "files"}[kind]
    h.append(f"\n/* All of them, ended by NULL. */\nextern const {ctype} *const {prefix}_{what}[];\n\n#endif")
    c.append(f"const {ctype} *const {prefix}_{what}[] = {{" + ", ".join(f"&{n}" for n in names) + (", " if names else "") + "0};")
    pathlib.Path(out_c).write_text("\n".join(c) + "\n")
    pathlib.Path(out_h).write_text("\n".join(h) + "\n")


main()
