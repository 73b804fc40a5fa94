import { join } from "node:path";
import { toPath } from "./_path.ts";

/** Removes all that is in a directory; makes the directory when it is not there. */
export async function emptyDir(dir: string | URL): Promise<void> {
  try {
    for (const { name } of await Array.fromAsync(Deno.readDir(dir))) {
      await Deno.remove(join(toPath(dir), name), { recursive: true });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.mkdir(dir, { recursive: true });
  }
}

/** Removes all that is in a directory; makes the directory when it is not there. */
export function emptyDirSync(dir: string | URL): void {
  try {
    for (const { name } of [...Deno.readDirSync(dir)]) {
      Deno.removeSync(join(toPath(dir), name), { recursive: true });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    Deno.mkdirSync(dir, { recursive: true });
  }
}
