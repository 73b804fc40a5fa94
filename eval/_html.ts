/**
 * HTML by tagged templates: everything that is put in is escaped unless it is markup already, so a
 * name from a user's folder can not become an element.
 *
 * @module
 */

/** Markup that needs no more escaping. */
export class Markup {
  /** The markup. */
  readonly text: string;

  /** @param text Markup that was made here, never a user's text. */
  constructor(text: string) {
    this.text = text;
  }
}

/** What a template takes: text is escaped, lists are joined, `null` leaves nothing. */
export type Piece = string | number | Markup | null | readonly Piece[];

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Makes markup; see {@linkcode Piece}. */
export function markup(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  let text = strings[0]!;
  for (let i = 0; i < pieces.length; i++) text += render(pieces[i]!) + strings[i + 1]!;
  return new Markup(text);
}

function render(piece: Piece): string {
  if (piece === null) return "";
  if (piece instanceof Markup) return piece.text;
  if (typeof piece === "object") return piece.map(render).join("");
  // Control characters have no place in HTML and confuse terminals that show the source.
  // deno-lint-ignore no-control-regex
  return String(piece).replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g, "\ufffd")
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
