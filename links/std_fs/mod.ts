/**
 * Stands in for `jsr:@std/fs` where JSR cannot be reached: the part that this project uses, with
 * the same modules, names and meanings.
 *
 * ```ts ignore
 * import { walk } from "@std/fs";
 *
 * for await (const entry of walk("photos", { exts: [".png"] })) console.log(entry.path);
 * ```
 *
 * @module
 */

export * from "./copy.ts";
export * from "./empty_dir.ts";
export * from "./ensure_dir.ts";
export * from "./exists.ts";
export * from "./walk.ts";
