/**
 * A section of the report.
 *
 * @module
 */

import type { Markup } from "./_html.ts";

/** A section and what the navigation says of it. */
export interface Section {
  /** Its anchor. */
  readonly id: string;
  /** Its name in the navigation. */
  readonly name: string;
  /** The section. */
  readonly markup: Markup;
}
