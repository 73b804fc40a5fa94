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

/** A parameter; one with a default has its name on the left. */
export interface DocParameter {
  /** `identifier`, `assign`, `rest` or `object`. */
  readonly kind: string;
  /** Its name, unless it is taken apart. */
  readonly name?: string;
  /** What the default is assigned to. */
  readonly left?: DocParameter;
}

/** A type. */
export interface DocType {
  /** Its name, without what it is made of. */
  readonly repr?: string;
  /** What it is made of. */
  readonly value?: unknown;
}

/** One declaration of a symbol, as `deno doc --json` has it. */
export interface Declaration {
  /** Where it stands; lines count from 0. */
  readonly location: { readonly filename: string; readonly line: number };
  /** `function`, `class`, `interface`, `variable`, and so on. */
  readonly kind: string;
  /** Its docstring. */
  readonly jsDoc?: { readonly doc?: string; readonly tags?: readonly DocTag[] };
  /** Its signature. */
  readonly def?: {
    readonly params?: readonly DocParameter[];
    readonly returnType?: DocType;
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

const NOTHING_REGEXP = /^(?:void|never|undefined|asserts .*|)$/;

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
  const where = `${symbol.name} (${first.location.filename}:${first.location.line + 1})`;
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
    .map(({ name, left }) => name ?? left?.name)
    .filter((name) => name !== undefined && !described.has(name))
    .map((name) => `${where} does not describe "${name}"`);
  const hasResult = !NOTHING_REGEXP.test(resolved(declaration.def?.returnType));
  if (hasResult && !tags.some(({ kind }) => kind === "return")) {
    missing.push(`${where} does not describe what it returns`);
  }
  return missing;
}

/** The name of a type, or of what a promise of it resolves to. */
function resolved(type: DocType | undefined): string {
  if (type?.repr !== "Promise") return type?.repr ?? "";
  return (type.value as { typeParams?: DocType[] } | undefined)?.typeParams?.[0]?.repr ?? "Promise";
}

function checkExamples(where: string, tags: readonly DocTag[]): string[] {
  const examples = tags.filter(({ kind }) => kind === "example").map(({ doc = "" }) => doc);
  if (examples.length === 0) return [`${where} has no example`];
  return examples.flatMap((example) => [
    ...(example.trimStart().startsWith("```") ? [`${where} has an example without a title`] : []),
    ...(/\bassert\w*\(/.test(example) ? [] : [`${where} has an example that asserts nothing`]),
  ]);
}

/** Classes whose first argument is the message. */
const MESSAGE_REGEXP = /new (?:Type|Range|Syntax|Reference|User|Usage)?Error\(\s*(?=["'`])/g;

/**
 * Finds error messages that do not begin like a sentence or that end with a period. Messages that
 * are put together elsewhere escape it.
 *
 * @param path The file.
 * @param text Its text.
 * @returns One sentence for each.
 */
export function checkMessages(path: string, text: string): string[] {
  return [...text.matchAll(MESSAGE_REGEXP)].flatMap((match) => {
    const start = match.index + match[0].length;
    const end = endOfLiteral(text, start);
    const message = text.slice(start + 1, end);
    const where = `${path}:${text.slice(0, start).split("\n").length}`;
    const isLast = /^\s*,?\s*[),]/.test(text.slice(end + 1));
    return [
      ...(/^[a-z]/.test(message)
        ? [`${where} has an error message that begins in lower case`]
        : []),
      ...(isLast && message.endsWith(".")
        ? [`${where} has an error message that ends with a period`]
        : []),
    ];
  });
}

/** Where the string or template that begins at an index ends. */
function endOfLiteral(text: string, start: number): number {
  const quote = text[start];
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote) return at;
    else if (quote === "`" && text.startsWith("${", at)) at = endOfExpression(text, at + 2);
  }
  return text.length;
}

/** Where the braces of an expression in a template close. */
function endOfExpression(text: string, start: number): number {
  let depth = 1;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
    else if (/["'`]/.test(text[at]!)) at = endOfLiteral(text, at);
  }
  return text.length;
}

/**
 * Finds files and tasks that the code blocks of a page name and that are not there.
 *
 * @param path The page.
 * @param tree Its text, the files that there are, and the names of the tasks.
 * @returns One sentence for each.
 */
export function checkCommands(
  path: string,
  tree: { text: string; files: ReadonlySet<string>; tasks: ReadonlySet<string> },
): string[] {
  const blocks = [...tree.text.matchAll(/^```[^\n]*\n(.*?)^```/gms)].map(([, block]) => block!);
  const rooms = new Set([...tree.files].flatMap((file) => /^([\w-]+)\//.exec(file)?.[1] ?? []));
  return blocks.flatMap((block) => [
    ...[...block.matchAll(/(?<![\w./~@-])(?:\.\/)?(([\w-]+)\/[\w./-]+\.\w+)/g)]
      .filter(([, file, room]) => rooms.has(room!) && !tree.files.has(file!))
      .map(([, file]) => `${path} names ${file}, which is not there`),
    ...[...block.matchAll(/^(?:\$ )?(?:\.\/run|deno task) ([a-z][\w:-]*)/gm)]
      .filter(([, task]) => !tree.tasks.has(task!))
      .map(([, task]) => `${path} runs the task ${task}, which deno.json does not have`),
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
