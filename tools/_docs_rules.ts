/**
 * What the documentation of a public symbol must have, beyond what `deno doc --lint` asks for.
 *
 * @module
 */

/** A tag of a docstring. */
export interface DocTag {
  /** For example `param` or `example`. */
  readonly kind: string;
  /** The parameter's name. */
  readonly name?: string;
  /** The tag's text. */
  readonly doc?: string;
}

/** One declaration of a symbol, as `deno doc --json` has it. */
export interface Declaration {
  /** Where it stands. */
  readonly location: { readonly filename: string; readonly line: number };
  /** `function`, `class`, `interface`, `variable`, and so on. */
  readonly kind: string;
  /** Its docstring. */
  readonly jsDoc?: { readonly doc?: string; readonly tags?: readonly DocTag[] };
  /** Its signature. */
  readonly def?: {
    readonly params?: readonly { readonly kind: string; readonly name?: string }[];
    readonly returnType?: { readonly repr?: string };
    readonly extends?: string;
  };
}

/** A public symbol. */
export interface PublicSymbol {
  /** Its name. */
  readonly name: string;
  /** Its declarations; several for overloads. */
  readonly declarations: readonly Declaration[];
}

const NOTHING_REGEXP = /^(void|never|undefined|asserts )/;

/**
 * Finds functions and classes that lack a sentence, a described parameter or result, or an example
 * that has a title and asserts something.
 *
 * @param symbol The symbol.
 * @returns One sentence for each.
 */
export function checkSymbol(symbol: PublicSymbol): string[] {
  const documented = symbol.declarations.filter(({ kind }) =>
    kind === "function" || kind === "class"
  );
  const [first] = documented;
  if (first === undefined || first.def?.extends?.endsWith("Error")) return [];
  const where = `${symbol.name} (${first.location.filename}:${first.location.line})`;
  const tags = documented.flatMap(({ jsDoc }) => jsDoc?.tags ?? []);
  return [
    ...(documented.some(({ jsDoc }) => jsDoc?.doc) ? [] : [`${where} has no sentence`]),
    ...(first.kind === "function" ? checkSignature(where, { declaration: first, tags }) : []),
    ...checkExamples(where, tags),
  ];
}

function checkSignature(
  where: string,
  { declaration, tags }: { declaration: Declaration; tags: readonly DocTag[] },
): string[] {
  const described = new Set(tags.filter(({ kind }) => kind === "param").map(({ name }) => name));
  const missing = (declaration.def?.params ?? [])
    .map(({ name }) => name)
    .filter((name) => name !== undefined && !described.has(name))
    .map((name) => `${where} does not describe "${name}"`);
  const returns = declaration.def?.returnType?.repr ?? "";
  const hasResult = !NOTHING_REGEXP.test(returns) && returns !== "";
  if (hasResult && !tags.some(({ kind }) => kind === "return")) {
    missing.push(`${where} does not describe what it returns`);
  }
  return missing;
}

function checkExamples(where: string, tags: readonly DocTag[]): string[] {
  const examples = tags.filter(({ kind }) => kind === "example").map(({ doc = "" }) => doc);
  if (examples.length === 0) return [`${where} has no example`];
  return examples.flatMap((example) => [
    ...(example.trimStart().startsWith("```") ? [`${where} has an example without a title`] : []),
    ...(/\bassert\w*\(/.test(example) ? [] : [`${where} has an example that asserts nothing`]),
  ]);
}

/**
 * Finds relative links of a Markdown file that lead nowhere.
 *
 * @param path The file, from the root.
 * @param tree Its text, and the files that there are.
 * @returns One sentence for each.
 */
export function checkLinks(
  path: string,
  tree: { text: string; files: ReadonlySet<string> },
): string[] {
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/") + 1) : "";
  const links = [...tree.text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)].map(([, target]) => target!);
  return links.filter((target) => !/^[a-z]+:/.test(target)).flatMap((target) => {
    const resolved = new URL(target, `file:///${folder}`).pathname.slice(1).replace(/\/$/, "");
    const found = tree.files.has(resolved) ||
      [...tree.files].some((file) => file.startsWith(`${resolved}/`));
    return found ? [] : [`${path} links to ${target}, which is not there`];
  });
}
