/**
 * Marked-line specialisation of WGSL: what `override` constants cannot do (register tiles, element
 * types, unrolled bodies), on sources that stay valid as they stand.
 *
 * @module
 */

const MARKED_LINE_REGEXP =
  /^(\s*(?:const|alias)\s+(\w+)\s*(?::[^=]+)?=\s*)([^;]+)(;\s*\/\/ @spec.*)$/;

/**
 * Replaces the right-hand sides of lines marked `// @spec`, such as
 * `const TILE: u32 = 4u; // @spec`.
 *
 * @param wgsl The source.
 * @param spec New right-hand sides by constant or alias name; whole numbers are written as `u32`.
 * @returns The specialised source.
 * @throws {RangeError} When the source has no marked line of a given name.
 *
 * @example A wider tile
 * ```ts
 * import { specialize } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   specialize("const TILE: u32 = 4u; // @spec", { TILE: 8 }),
 *   "const TILE: u32 = 8u; // @spec",
 * );
 * ```
 */
export function specialize(
  wgsl: string,
  spec: Readonly<Record<string, string | number>>,
): string {
  const wanted = new Set(Object.keys(spec));
  if (wanted.size === 0) return wgsl;
  const lines = wgsl.split("\n").map((line) => {
    const [, head, name, , tail] = MARKED_LINE_REGEXP.exec(line) ?? [];
    if (name === undefined || !(name in spec)) return line;
    wanted.delete(name);
    const value = spec[name]!;
    return `${head}${typeof value === "number" ? `${value}u` : value}${tail}`;
  });
  if (wanted.size > 0) {
    throw new RangeError(`Cannot specialise: no marked line for ${[...wanted].join(", ")}`);
  }
  return lines.join("\n");
}
