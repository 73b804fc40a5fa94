/**
 * The page around a report's sections: one file that loads nothing.
 *
 * @module
 */

import { Markup, markup } from "./_html.ts";
import type { Section } from "./_report_section.ts";
import { SCRIPT, SCRIPT_HASH, STYLE } from "./_report_style.ts";

/** What a page is made of. */
export interface Page {
  /** Its title. */
  readonly title: string;
  /** Makes the head around the links to the sections. */
  readonly head: (nav: Markup) => Markup;
  /** Its sections. */
  readonly sections: readonly Section[];
}

/** The page as a whole HTML file. */
export function renderPage({ title, head, sections }: Page): string {
  const policy =
    `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${SCRIPT_HASH}'`;
  const nav = markup`<nav aria-label="Sections">${
    sections.map(({ id, name }) => markup`<a href="#${id}">${name}</a>`)
  }</nav>`;
  return markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${title}</title><style>${new Markup(
    STYLE,
  )}</style></head><body>${head(nav)}<main>${
    sections.map((section) => section.markup)
  }</main><footer>Made by oodgpu. This file is complete: it loads nothing and sends nothing.</footer><script>${new Markup(
    SCRIPT,
  )}</script></body></html>
`.text;
}
