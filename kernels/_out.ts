/**
 * Where an operation writes: a new tensor, or one that the caller gives.
 *
 * @module
 */

import type { Tensor } from "../runtime/mod.ts";

/** Option of every operation whose result can be a gradient, a parameter or a state. */
export interface OutOption {
  /** Written instead of a new tensor, and returned; of the result's shape, none of the inputs. */
  readonly out?: Tensor | undefined;
}
