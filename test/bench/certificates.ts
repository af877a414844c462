/** Certificates for peers that do not get theirs from our identity service, made with openssl. */

import { writeFileSync } from "node:fs";
import { run } from "../support/lab.ts";

/** Makes `ca.crt` and, for each name, `<name>.crt` and `<name>.key` (P-256) in a folder. */
export function makeCertificates(folder: string, names: readonly string[]): void {
  const path = (file: string) => `${folder}/${file}`;
  const key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(" ");
  run([
    ..."openssl req -x509 -days 2 -subj /CN=bench".split(" "),
    ...key,
    ..."-addext basicConstraints=critical,CA:TRUE".split(" "),
    ...["-keyout", path("ca.key"), "-out", path("ca.crt")],
  ]);
  for (const name of names) {
    writeFileSync(path(`${name}.ext`), `subjectAltName=DNS:${name}\n`);
    run([
      ...["openssl", "req", "-subj", `/CN=${name}`, ...key],
      ...["-keyout", path(`${name}.key`), "-out", path(`${name}.csr`)],
    ]);
    run([
      ...["openssl", "x509", "-req", "-days", "2", "-in", path(`${name}.csr`)],
      ...["-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial"],
      ...["-extfile", path(`${name}.ext`), "-out", path(`${name}.crt`)],
    ]);
  }
}
