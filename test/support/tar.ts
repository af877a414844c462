/** What is in a tar archive. */

import { extract } from "tar-stream";

/** One file, folder or link. */
export interface TarFile {
  readonly name: string;
  readonly type: string | null | undefined;
  readonly mode: number | undefined;
  readonly mtime: Date | undefined;
  readonly linkname: string | null | undefined;
  readonly bytes: Uint8Array;
}

/** The archive's files in their order. */
export async function untar(bytes: Uint8Array): Promise<TarFile[]> {
  const files: TarFile[] = [];
  const reader = extract();
  reader.end(bytes);
  for await (const entry of reader) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry) chunks.push(chunk as Uint8Array);
    const { name, type, mode, mtime, linkname } = entry.header;
    files.push({ name, type, mode, mtime, linkname, bytes: Buffer.concat(chunks) });
  }
  return files;
}
