/** What must be true of the path. */
export interface ExistsOptions {
  /** It must be readable by the user. */
  isReadable?: boolean;
  /** It must be a directory. */
  isDirectory?: boolean;
  /** It must be a file. */
  isFile?: boolean;
}

/** Whether there is something at the path, and what the options ask for is true of it. */
export async function exists(path: string | URL, options?: ExistsOptions): Promise<boolean> {
  try {
    return fits(await Deno.stat(path), options);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    const { state } = await Deno.permissions.query({ name: "read", path });
    return hidden(error, state, options);
  }
}

/** Whether there is something at the path, and what the options ask for is true of it. */
export function existsSync(path: string | URL, options?: ExistsOptions): boolean {
  try {
    return fits(Deno.statSync(path), options);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    return hidden(error, Deno.permissions.querySync({ name: "read", path }).state, options);
  }
}

function fits(info: Deno.FileInfo, options: ExistsOptions = {}): boolean {
  const { isDirectory = false, isFile = false, isReadable = false } = options;
  if (isDirectory && isFile) {
    throw new TypeError(
      "ExistsOptions.options.isDirectory and ExistsOptions.options.isFile must not be true together",
    );
  }
  if ((isDirectory && !info.isDirectory) || (isFile && !info.isFile)) return false;
  return !isReadable || mayRead(info);
}

function mayRead({ mode, uid, gid }: Deno.FileInfo): boolean {
  if (mode === null) return true;
  const bit = Deno.uid() === uid ? 0o400 : Deno.gid() === gid ? 0o040 : 0o004;
  return (mode & bit) !== 0;
}

/** The file system, not Deno, refused: so there is something, which cannot be read. */
function hidden(error: Error, state: Deno.PermissionState, options?: ExistsOptions): boolean {
  if (state === "granted") return !options?.isReadable;
  throw error;
}
