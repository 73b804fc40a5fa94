/**
 * An evaluation as a table for terminals, as Markdown and as CSV.
 *
 * @module
 */

import { type Figure, FIGURES, type Interval } from "./figures.ts";
import type { Evaluation, EvaluationAverage, EvaluationResult } from "./protocol.ts";

/** How a table looks. */
export interface TableOptions {
  /**
   * Decimals of a percentage.
   *
   * @default {2}
   */
  readonly digits?: number;
  /**
   * Whether intervals are shown, where the evaluation has them.
   *
   * @default {true}
   */
  readonly intervals?: boolean;
  /**
   * The figures to show, in order.
   *
   * @default {["auroc", "fpr95", "aupr_in", "aupr_out"]}
   */
  readonly figures?: readonly Figure[];
}

/** Options of {@linkcode textTable}. */
export interface TextTableOptions extends TableOptions {
  /**
   * Whether the best figures are set bold with terminal escapes as well as marked.
   *
   * @default {false}
   */
  readonly color?: boolean;
}

const SHOWN: readonly Figure[] = ["auroc", "fpr95", "aupr_in", "aupr_out"];

/** One block of a table: an OOD set, or an average over several. */
interface Block {
  readonly title: string;
  readonly rows: readonly (EvaluationResult | EvaluationAverage)[];
}

/**
 * A figure's heading, which names the convention where it matters, and whether more is better.
 *
 * @param evaluation The evaluation whose manifest names the convention.
 * @param figure The figure.
 * @returns The heading and the direction.
 *
 * @example Name FPR95 in full
 * ```ts
 * import { evaluate, figureHeading } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const evaluation = evaluate({ id: { a: Float32Array.of(1) }, ood: { b: { a: Float32Array.of(0) } } });
 * assertEquals(figureHeading(evaluation, "fpr95"), {
 *   text: "FPR95(OOD|ID95)",
 *   higherIsBetter: false,
 * });
 * ```
 */
export function figureHeading(evaluation: Evaluation, figure: Figure): FigureHeading {
  const { manifest } = evaluation;
  const area = manifest.aupr === "average-precision" ? "" : ` (${manifest.aupr})`;
  switch (figure) {
    case "auroc":
      return { text: "AUROC", higherIsBetter: true };
    case "fpr95":
      return { text: manifest.fpr95, higherIsBetter: false };
    case "fpr95_reverse":
      return { text: manifest.fpr95_reverse, higherIsBetter: false };
    case "aupr_in":
      return { text: `AUPR-in${area}`, higherIsBetter: true };
    case "aupr_out":
      return { text: `AUPR-out${area}`, higherIsBetter: true };
    default:
      return figure satisfies never;
  }
}

/** What {@linkcode figureHeading} says. */
export interface FigureHeading {
  /** The heading. */
  readonly text: string;
  /** Whether the best value is the largest. */
  readonly higherIsBetter: boolean;
}

/**
 * A table for terminals: one block per OOD set and one per average, a row per method, percentages
 * with their intervals, and `*` on the best of each column.
 *
 * @param evaluation What {@linkcode evaluate} returned.
 * @param options Decimals, intervals, figures, colour.
 * @returns Lines that end with a line feed.
 *
 * @example The best row is marked
 * ```ts
 * import { evaluate, textTable } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const evaluation = evaluate({
 *   id: { msp: Float32Array.of(2, 1), knn: Float32Array.of(2, 1) },
 *   ood: { noise: { msp: Float32Array.of(1.5), knn: Float32Array.of(0) } },
 * }, { replicates: 0 });
 * assertStringIncludes(textTable(evaluation, { digits: 1 }), "knn      100.0*");
 * ```
 */
export function textTable(evaluation: Evaluation, options: TextTableOptions = {}): string {
  const { digits = 2, intervals = true, figures = SHOWN, color = false } = options;
  const blocks = blocksOf(evaluation);
  const headings = figures.map((figure) => {
    const { text, higherIsBetter } = figureHeading(evaluation, figure);
    return `${text} ${higherIsBetter ? "↑" : "↓"}`;
  });
  const cells = blocks.map(({ rows }) => {
    const best = bestOf(evaluation, rows, { figures, digits });
    return rows.map((row) =>
      figures.map((figure, f) => ({
        value: percent(row[figure], digits),
        mark: best[f] === percent(row[figure], digits) ? "*" : " ",
        interval: intervals && row.ci !== null ? ` ${span(row.ci[figure], digits)}` : "",
      }))
    );
  });
  const names = blocks.flatMap(({ rows }) => rows.map((row) => row.method));
  const nameWidth = Math.max("method".length, ...names.map(widthOf));
  const widths = figures.map((_, f) => {
    const column = cells.flat().map((row) => row[f]!);
    const value = Math.max(...column.map((cell) => cell.value.length));
    const interval = Math.max(...column.map((cell) => cell.interval.length));
    return { value, interval, all: Math.max(headings[f]!.length, value + 1 + interval) };
  });

  const lines = [describeConvention(evaluation), ""];
  const head = headings.map((heading, f) => heading.padStart(widths[f]!.all)).join("  ");
  lines.push(`${pad("method", nameWidth)}  ${head}`);
  lines.push("─".repeat(nameWidth + 2 + head.length));
  blocks.forEach(({ title, rows }, b) => {
    if (b > 0) lines.push("");
    lines.push(title);
    rows.forEach((row, r) => {
      const line = cells[b]![r]!.map((cell, f) => {
        const { value, interval, all } = widths[f]!;
        const text = cell.value.padStart(value) + cell.mark;
        const shown = color && cell.mark === "*" ? `\x1b[1m${text}\x1b[22m` : text;
        return " ".repeat(all - value - 1 - interval) + shown + cell.interval.padEnd(interval);
      });
      lines.push(`${pad(row.method, nameWidth)}  ${line.join("  ")}`.trimEnd());
    });
  });
  if (evaluation.id_accuracy !== null) {
    lines.push("", `ID accuracy ${percent(evaluation.id_accuracy, digits)} %`);
  }
  for (const warning of evaluation.warnings) lines.push(`warning: ${warning}`);
  return lines.join("\n") + "\n";
}

/**
 * The table as Markdown: one row per set and method, the best of each set in bold, the convention
 * in the heading and in a line below.
 *
 * @param evaluation What {@linkcode evaluate} returned.
 * @param options Decimals, intervals, figures.
 * @returns A Markdown table.
 *
 * @example A row of a table
 * ```ts
 * import { evaluate, markdownTable } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const evaluation = evaluate({
 *   id: { msp: Float32Array.of(2, 1) },
 *   ood: { noise: { msp: Float32Array.of(0) } },
 * }, { replicates: 0 });
 * assertStringIncludes(markdownTable(evaluation), "| noise | msp | **100.00** | **0.00** |");
 * ```
 */
export function markdownTable(evaluation: Evaluation, options: TableOptions = {}): string {
  const { digits = 2, intervals = true, figures = SHOWN } = options;
  const headings = figures.map((figure) => {
    const { text, higherIsBetter } = figureHeading(evaluation, figure);
    return escapeMarkdown(`${text} ${higherIsBetter ? "↑" : "↓"}`);
  });
  const lines = [
    `| OOD set | method | ${headings.join(" | ")} |`,
    `|---|---|${figures.map(() => "---:|").join("")}`,
  ];
  for (const { title, rows } of blocksOf(evaluation)) {
    const best = bestOf(evaluation, rows, { figures, digits });
    for (const row of rows) {
      const cells = figures.map((figure, f) => {
        const value = percent(row[figure], digits);
        const shown = best[f] === value ? `**${value}**` : value;
        return intervals && row.ci !== null ? `${shown} ${span(row.ci[figure], digits)}` : shown;
      });
      const name = "ood" in row ? row.ood : title;
      lines.push(
        `| ${escapeMarkdown(name)} | ${escapeMarkdown(row.method)} | ${cells.join(" | ")} |`,
      );
    }
  }
  return `${lines.join("\n")}\n\n${escapeMarkdown(describeConvention(evaluation))}\n`;
}

/**
 * The table as CSV (RFC 4180), fractions with all their digits: one row per set and method, then
 * the averages, every figure and the bounds of its interval.
 *
 * @param evaluation What {@linkcode evaluate} returned.
 * @returns CSV text with a header line.
 *
 * @example Read it back
 * ```ts
 * import { csvTable, evaluate } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const evaluation = evaluate({
 *   id: { msp: Float32Array.of(2, 1) },
 *   ood: { noise: { msp: Float32Array.of(0) } },
 * }, { replicates: 0 });
 * const [header, row] = csvTable(evaluation).split("\r\n");
 * assertEquals(header!.split(",").slice(0, 6), ["kind", "name", "method", "n_id", "n_ood", "convention"]);
 * assertEquals(row!.split(",").slice(0, 7), ["set", "noise", "msp", "2", "1", "B", "1"]);
 * ```
 */
export function csvTable(evaluation: Evaluation): string {
  const header = ["kind", "name", "method", "n_id", "n_ood", "convention"];
  for (const figure of FIGURES) header.push(figure, `${figure}_lower`, `${figure}_upper`);
  const lines = [header];
  for (const row of [...evaluation.results, ...evaluation.averages]) {
    const isSet = "ood" in row;
    const cells = [
      isSet ? "set" : "average",
      isSet ? row.ood : row.group,
      row.method,
      `${row.n_id}`,
      `${row.n_ood}`,
      evaluation.manifest.convention,
    ];
    for (const figure of FIGURES) {
      const bounds = row.ci?.[figure];
      cells.push(`${row[figure]}`, `${bounds?.[0] ?? ""}`, `${bounds?.[1] ?? ""}`);
    }
    lines.push(cells);
  }
  return lines.map((cells) => cells.map(quoteCsv).join(",") + "\r\n").join("");
}

function blocksOf(evaluation: Evaluation): Block[] {
  const sets = new Map<string, EvaluationResult[]>();
  for (const row of evaluation.results) {
    sets.set(row.ood, [...sets.get(row.ood) ?? [], row]);
  }
  const groups = new Map<string, EvaluationAverage[]>();
  for (const row of evaluation.averages) {
    groups.set(row.group, [...groups.get(row.group) ?? [], row]);
  }
  const blocks: Block[] = [];
  for (const [name, rows] of sets) {
    const { n_id: id, n_ood: ood } = rows[0]!;
    blocks.push({ title: `${name} (${id} ID, ${ood} OOD)`, rows });
  }
  for (const [group, rows] of groups) {
    const count = rows[0]!.sets.length;
    // The average over one set repeats that set.
    if (count === 1) continue;
    blocks.push({
      title: `average over ${group === "all" ? "all " : `${group}: `}${count} sets`,
      rows,
    });
  }
  return blocks;
}

/** The best printed value of each figure; rows that print alike are all best. */
function bestOf(
  evaluation: Evaluation,
  rows: Block["rows"],
  { figures, digits }: { figures: readonly Figure[]; digits: number },
): string[] {
  return figures.map((figure) => {
    const values = rows.map((row) => row[figure]);
    const { higherIsBetter } = figureHeading(evaluation, figure);
    return percent(higherIsBetter ? Math.max(...values) : Math.min(...values), digits);
  });
}

function describeConvention(evaluation: Evaluation): string {
  const { convention, convention_name: name, bootstrap } = evaluation.manifest;
  const interval = bootstrap === null
    ? ""
    : `; [${100 * bootstrap.level} % bootstrap interval, ${bootstrap.replicates} replicates]`;
  return `Percent under convention ${convention} (${name})${interval}; * best`;
}

function percent(fraction: number, digits: number): string {
  return (100 * fraction).toFixed(digits);
}

function span([lower, upper]: Interval, digits: number): string {
  return `[${percent(lower, digits)}, ${percent(upper, digits)}]`;
}

/** Columns that a name takes on a terminal, as far as code points tell. */
function widthOf(text: string): number {
  return [...text].length;
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

function escapeMarkdown(text: string): string {
  return text.replace(/[\\|*_`<>[\]]/g, "\\$&").replace(/\s+/g, " ");
}

function quoteCsv(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
