/**
 * Labels at the ends of lines.
 *
 * @module
 */

const LABEL_HEIGHT = 14;

/**
 * Heights of labels that want to stand at `wanted`: moved down where they would overlap, and up
 * again where the last ones would fall below the bottom.
 */
export function apart(wanted: readonly number[], bottom: number = Infinity): number[] {
  const placed = [...wanted];
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!);
  order.slice(1).forEach((index, i) => {
    placed[index] = Math.max(placed[index]!, placed[order[i]!]! + LABEL_HEIGHT);
  });
  let limit = bottom;
  for (const index of order.toReversed()) {
    placed[index] = Math.min(placed[index]!, limit);
    limit = placed[index]! - LABEL_HEIGHT;
  }
  return placed;
}
