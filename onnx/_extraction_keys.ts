/** Which values a model is to give, and which of them are stored as they are. */

import { UserError } from "../runtime/errors.ts";
import { nearestName } from "../runtime/nearest.ts";
import { HINT } from "./_hints.ts";
import { partOf, sourceOf } from "./_value_sources.ts";
import type { BatchReducer, ExtractionOptions } from "./extraction_options.ts";
import type { Inspection } from "./inspection.ts";
import { OUTPUT_KEYS, type SidecarOutputs } from "./sidecar.ts";

type OutputKey = keyof SidecarOutputs;

/** What a run makes of a model's values. */
export interface ExtractionKeys {
  /** The values that the model is to give. */
  readonly outputs: readonly OutputKey[];
  /** The arrays that are made of them by this project's own hand and stored. */
  readonly rows: readonly string[];
}

/** These are stored whatever is asked for, where there are any. */
const ALWAYS: readonly string[] = ["labels", "head.weight", "head.bias"];

/** What to take of a model: all that it offers, but for what is reduced, or what is asked for. */
export function chooseKeys(
  inspection: Inspection,
  options: Pick<ExtractionOptions, "featureMap" | "keys" | "odin" | "reduce">,
): ExtractionKeys {
  const { featureMap = "none", reduce } = options;
  const offered = OUTPUT_KEYS.filter((key) => sourceOf(inspection, key) !== undefined);
  if (featureMap !== "none" && !offered.includes("feature_map")) {
    throw new UserError(
      `Cannot store feature maps of "${inspection.name}": ${inspection.reasons.featureMap}`,
    );
  }
  const storable = offered.flatMap((key): string[] => {
    if (key !== "feature_map") return [key];
    return featureMap === "none" ? ["feature_norms"] : [key, "feature_norms"];
  });
  requireReduced(inspection, { offered, reduce });
  const asked = options.keys &&
    checkAsked(inspection, storable, { ...options, keys: options.keys });
  const rows = storable.filter((key) =>
    asked === undefined ? !reduce?.keys.includes(key as OutputKey) : asked.includes(key)
  );
  const outputs = offered.filter((key) =>
    rows.includes(key) || key === "feature_map" && rows.includes("feature_norms") ||
    reduce?.keys.includes(key)
  );
  if (outputs.length === 0 && offered.length > 0) {
    throw new UserError(
      `Cannot extract with "${inspection.name}": nothing is asked for; it offers ` +
        storable.join(", "),
    );
  }
  const twice = reduce?.stored.find((key) => rows.includes(key) || ALWAYS.includes(key));
  if (twice !== undefined) throw new TypeError(`Cannot store "${twice}" twice`);
  return { outputs, rows };
}

/** Refuses a model that lacks what is to be reduced. */
function requireReduced(
  inspection: Inspection,
  { offered, reduce }: { offered: readonly OutputKey[]; reduce: BatchReducer | undefined },
): void {
  const missing = reduce?.keys.find((key) => !offered.includes(key));
  if (missing === undefined) return;
  const part = partOf(missing);
  const reason = inspection.reasons[part] ?? `it offers no "${missing}"; ${HINT[part]}`;
  throw new UserError(`Cannot extract with "${inspection.name}": ${reason}`);
}

/** The keys that are asked for; refuses those that cannot be had. */
function checkAsked(
  inspection: Inspection,
  storable: readonly string[],
  options: Pick<ExtractionOptions, "odin"> & { readonly keys: readonly string[] },
): readonly string[] {
  const always = options.odin === undefined ? ALWAYS : [...ALWAYS, "odin_logits"];
  for (const key of options.keys) {
    if (storable.includes(key) || always.includes(key)) continue;
    throw new UserError(
      `Cannot store "${key}" of "${inspection.name}": ${whyNot(inspection, { key, storable })}`,
    );
  }
  return options.keys;
}

function whyNot(
  inspection: Inspection,
  { key, storable }: { key: string; storable: readonly string[] },
): string {
  if (key === "odin_logits") return "ODIN's settings are not given";
  if (key === "feature_map" && storable.includes("feature_norms")) {
    return "it is not said whether as f16 or as f32";
  }
  const part = key === "feature_norms"
    ? "featureMap"
    : (OUTPUT_KEYS as readonly string[]).includes(key)
    ? partOf(key as OutputKey)
    : undefined;
  if (part !== undefined) {
    return inspection.reasons[part] ?? `it offers none; ${HINT[part]}`;
  }
  const close = nearestName(key, storable);
  return `it offers ${storable.join(", ")}` +
    (close === undefined ? "" : `; did you mean "${close}"`);
}
