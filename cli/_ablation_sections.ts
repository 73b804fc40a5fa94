/**
 * Sections of reports on ablations: a line or a row for each choice, over sets and seeds.
 *
 * @module
 */

import { type AblationMeasure, type AblationSection, auroc, fpr95 } from "../eval/mod.ts";
import { ID_SET } from "./_evaluation_options.ts";

/** Figures of one score on one OOD set. */
export interface SetFigures {
  readonly auroc: number;
  readonly fpr95: number;
}

/** Figures by OOD set. */
export type FiguresBySet = ReadonlyMap<string, SetFigures>;

/** What figures are called, in their order. */
export const MEASURES: readonly AblationMeasure[] = [
  { name: "AUROC", better: "more" },
  { name: "FPR95(OOD|ID95)", better: "less" },
];

/** Figures of scores by set, of which one is in-distribution. */
export function figuresOf(scores: ReadonlyMap<string, Float32Array>): FiguresBySet {
  const id = scores.get(ID_SET)!;
  return new Map(
    [...scores].filter(([name]) => name !== ID_SET).map(([name, ood]) => [
      name,
      { auroc: auroc(id, ood), fpr95: fpr95(id, ood) },
    ]),
  );
}

/** Means over the sets. */
export function averageOf(figures: FiguresBySet): [auroc: number, fpr95: number] {
  const all = [...figures.values()];
  const mean = (of: (figure: { auroc: number; fpr95: number }) => number) =>
    all.reduce((sum, figure) => sum + of(figure), 0) / all.length;
  return [mean(({ auroc }) => auroc), mean(({ fpr95 }) => fpr95)];
}

/** A line for each set over the values of a parameter. */
export function curves<Seed>(
  seeds: readonly Seed[],
  how: {
    readonly title: string;
    readonly about: string;
    readonly parameter: string;
    readonly chosen?: number;
    readonly spacing?: "even" | "linear";
    readonly of: (seed: Seed) => ReadonlyMap<number, FiguresBySet>;
  },
): AblationSection {
  const [first] = seeds.map(how.of);
  const values = [...first!.keys()];
  const names = [...first!.get(values[0]!)!.keys()];
  return {
    kind: "curves",
    title: how.title,
    about: how.about,
    parameter: how.parameter,
    ...(how.chosen === undefined ? {} : { chosen: how.chosen }),
    spacing: how.spacing ?? "linear",
    measures: MEASURES,
    series: names.map((name) => ({
      name,
      points: values.map((value) => {
        const figures = seeds.map((seed) => how.of(seed).get(value)!.get(name)!);
        return {
          value,
          figures: [figures.map(({ auroc }) => auroc), figures.map(({ fpr95 }) => fpr95)],
        };
      }),
    })),
  };
}

/** A row for each choice, averaged over the sets. */
export function table<Seed>(
  seeds: readonly Seed[],
  how: {
    readonly title: string;
    readonly about: string;
    readonly choice: string;
    readonly of: (seed: Seed) => ReadonlyMap<string, FiguresBySet>;
    readonly parts?: {
      readonly names: readonly string[];
      readonly of: (name: string) => readonly boolean[];
    };
  },
): AblationSection {
  const names = [...how.of(seeds[0]!).keys()];
  return {
    kind: "table",
    title: how.title,
    about: how.about,
    choice: how.choice,
    ...(how.parts === undefined ? {} : { parts: how.parts.names }),
    measures: MEASURES,
    rows: names.map((name) => {
      const figures = seeds.map((seed) => averageOf(how.of(seed).get(name)!));
      return {
        name,
        ...(how.parts === undefined ? {} : { parts: how.parts.of(name) }),
        figures: [figures.map(([auroc]) => auroc), figures.map(([, fpr95]) => fpr95)],
      };
    }),
  };
}

/** A table for each set. */
export function tablesBySet<Seed>(
  seeds: readonly Seed[],
  how: {
    readonly sets: readonly string[];
    readonly title: string;
    readonly choice: string;
    readonly of: (seed: Seed) => ReadonlyMap<string, FiguresBySet>;
  },
): AblationSection[] {
  return how.sets.map((set) => ({
    kind: "table",
    title: `${how.title}: ${set}`,
    choice: how.choice,
    measures: MEASURES,
    rows: [...how.of(seeds[0]!).keys()].map((name) => {
      const figures = seeds.map((seed) => how.of(seed).get(name)!.get(set)!);
      return {
        name,
        figures: [figures.map(({ auroc }) => auroc), figures.map(({ fpr95 }) => fpr95)],
      };
    }),
  }));
}

/** Maps as objects, for JSON. */
export function plain(value: unknown): unknown {
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, inner]) => [String(key), plain(inner)]));
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
