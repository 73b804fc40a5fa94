import { statSync } from "node:fs";
import { stat } from "node:fs/promises";

/** What must be true of the path. */
export interface ExistsOptions {
  /** It must be a directory. */
  isDirectory?: boolean;
  /** It must be a file. */
  isFile?: boolean;
}

interface Kind {
  isDirectory(): boolean;
  isFile(): boolean;
}

function fits(found: Kind, options: ExistsOptions | undefined): boolean {
  if (options?.isDirectory) return found.isDirectory();
  return options?.isFile ? found.isFile() : true;
}

function absent(error: unknown): false {
  if ((error as { code?: string }).code === "ENOENT") return false;
  if ((error as { code?: string }).code === "ENOTDIR") return false;
  throw error;
}

/** Whether there is something at the path. */
export async function exists(path: string | URL, options?: ExistsOptions): Promise<boolean> {
  try {
    return fits(await stat(path), options);
  } catch (error) {
    return absent(error);
  }
}

/** Whether there is something at the path. */
export function existsSync(path: string | URL, options?: ExistsOptions): boolean {
  try {
    return fits(statSync(path), options);
  } catch (error) {
    return absent(error);
  }
}
