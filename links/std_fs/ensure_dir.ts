import { mkdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";

/** Makes a directory and its parents unless it is there. */
export async function ensureDir(dir: string | URL): Promise<void> {
  await mkdir(dir, { recursive: true });
}

/** Makes a directory and its parents unless it is there. */
export function ensureDirSync(dir: string | URL): void {
  mkdirSync(dir, { recursive: true });
}
