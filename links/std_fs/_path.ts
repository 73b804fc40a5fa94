import { fileURLToPath } from "node:url";

/** The path that a path or a file URL names. */
export function toPath(path: string | URL): string {
  return typeof path === "string" ? path : fileURLToPath(path);
}
