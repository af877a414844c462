/**
 * An image as one archive that every tool reads: an OCI layout, with the manifest of `docker save`
 * beside it. The same layers and configuration give the same bytes.
 */

import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import { pack } from "tar-stream";
import { collect, type Layer, layerTar } from "./layer.ts";

/** How a container of the image starts. */
export interface ImageConfig {
  readonly user?: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  /** What tells it to end; default: SIGTERM. */
  readonly stopSignal?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** An image before it is written. */
export interface Image {
  /** Name and tag, such as `malla/malla:0.1.0`. */
  readonly name: string;
  readonly config: ImageConfig;
  readonly layers: readonly Layer[];
  /** Default: gzip. Without it, archives that never leave the machine are made sooner. */
  readonly compression?: "gzip" | "none";
}

/** A written image. */
export interface ImageArchive {
  readonly archive: Uint8Array;
  /** The manifest's digest, by which registries and clusters know the image. */
  readonly digest: string;
}

/** A blob of the layout. */
interface Blob {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

const OCI = "application/vnd.oci.image";
const EPOCH = "1970-01-01T00:00:00Z";
/** What the containers of this image run on, as OCI spells it. */
const PLATFORM = { architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux" };

/** Makes the archive. */
export async function imageArchive(image: Image): Promise<ImageArchive> {
  const compressed = image.compression !== "none";
  const layers: { readonly blob: Blob; readonly diffId: string }[] = [];
  for (const layer of image.layers) {
    const tar = await layerTar(layer);
    layers.push({ blob: blobOf(compressed ? await compress(tar) : tar), diffId: digestOf(tar) });
  }
  const config = jsonBlob(configOf(image, layers.map(({ diffId }) => diffId)));
  const layerType = `${OCI}.layer.v1.tar${compressed ? "+gzip" : ""}`;
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: descriptor(`${OCI}.config.v1+json`, config),
    layers: layers.map(({ blob }) => descriptor(layerType, blob)),
  });
  const blobs = [manifest, config, ...layers.map(({ blob }) => blob)];
  return { archive: await layout(image.name, manifest, config, blobs), digest: manifest.digest };
}

/** The name by which container runtimes file an image that was named as people do. */
export function fullImageName(name: string): string {
  const [first = "", ...rest] = name.split("/");
  if (rest.length === 0) return `docker.io/library/${name}`;
  return /[.:]|^localhost$/.test(first) ? name : `docker.io/${name}`;
}

function configOf(image: Image, diffIds: readonly string[]): unknown {
  const { user, env, entrypoint, stopSignal, labels } = image.config;
  return {
    created: EPOCH,
    ...PLATFORM,
    config: {
      ...(user === undefined ? {} : { User: user }),
      Env: env,
      Entrypoint: entrypoint,
      WorkingDir: "/",
      ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
      ...(labels === undefined ? {} : { Labels: labels }),
    },
    rootfs: { type: "layers", diff_ids: diffIds },
    history: image.layers.map(({ comment }) => ({ created: EPOCH, created_by: comment })),
  };
}

async function layout(
  name: string,
  manifest: Blob,
  config: Blob,
  blobs: readonly Blob[],
): Promise<Uint8Array> {
  const index = {
    schemaVersion: 2,
    mediaType: `${OCI}.index.v1+json`,
    manifests: [
      {
        ...descriptor(`${OCI}.manifest.v1+json`, manifest),
        platform: PLATFORM,
        annotations: {
          "io.containerd.image.name": fullImageName(name),
          "org.opencontainers.image.ref.name": name.split(":").at(-1),
        },
      },
    ],
  };
  const dockerManifest = [
    {
      Config: blobPath(config),
      RepoTags: [name],
      Layers: blobs.slice(2).map(blobPath),
    },
  ];
  const files = new Map<string, Uint8Array>([
    ["oci-layout", jsonBlob({ imageLayoutVersion: "1.0.0" }).bytes],
    ["index.json", jsonBlob(index).bytes],
    ["manifest.json", jsonBlob(dockerManifest).bytes],
    ...blobs.map((blob) => [blobPath(blob), blob.bytes] as const),
  ]);
  const archive = pack();
  const collected = collect(archive);
  for (const [path, bytes] of files) {
    archive.entry({ name: path, mode: 0o644, mtime: new Date(0) }, Buffer.from(bytes));
  }
  archive.finalize();
  return await collected;
}

function descriptor(mediaType: string, { digest, bytes }: Blob) {
  return { mediaType, digest, size: bytes.length };
}

function blobPath({ digest }: Blob): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function jsonBlob(value: unknown): Blob {
  return blobOf(Buffer.from(JSON.stringify(value)));
}

function blobOf(bytes: Uint8Array): Blob {
  return { digest: digestOf(bytes), bytes };
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Compresses off the main thread; the header carries no time. */
async function compress(bytes: Uint8Array): Promise<Uint8Array> {
  return await promisify(gzip)(bytes, { level: constants.Z_DEFAULT_COMPRESSION });
}
