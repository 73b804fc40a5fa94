/**
 * Makes a score out of its three parts: what it learns, how it runs on kernels, and its ONNX graph.
 *
 * @module
 */

import type { GraphBuilder } from "../onnx/mod.ts";
import { type Context, type Tensor, UserError } from "../runtime/mod.ts";
import { rowShape, storedKeys } from "./_keys.ts";
import { resolveParameters } from "./parameters.ts";
import type {
  FitInput,
  Fitted,
  FittedState,
  ScoreBatch,
  ScoreMethod,
  Scorer,
  StateArray,
} from "./score.ts";

/** What a fit gets: checked input, with every parameter that has a fixed default filled in. */
export interface LearnInput extends FitInput {
  /** Checked values. */
  readonly parameters: Readonly<Record<string, number>>;
}

/** What a fit has learned, before the input dimensions are added. */
export interface Learned {
  /** Learned arrays. */
  readonly arrays: Readonly<Record<string, StateArray>>;
  /** Parameters that follow from the data. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** What a person should know, one sentence each. */
  readonly warnings?: readonly string[];
}

/** A score's description and parts. */
export interface ScoreDefinition extends Omit<ScoreMethod, "fit" | "restore"> {
  /** Names of the learned arrays, with the number of their dimensions. */
  readonly arrays: Readonly<Record<string, number>>;
  /** Learns; absent when there is nothing to learn. */
  readonly learn?: (input: LearnInput) => Promise<Learned>;
  /** Brings the learned arrays to a context. */
  readonly place: (context: Context, state: FittedState) => Scorer;
  /** Writes the score's nodes; returns the name of a value [N]. */
  readonly graph: (
    builder: GraphBuilder,
    inputs: Readonly<Record<string, string>>,
    state: FittedState,
  ) => string;
  /** Bytes that one row takes inside the ONNX graph, where that is far more than its inputs. */
  readonly graphRowBytes?: (state: FittedState) => number;
  /** What a score says in words where it is no measurement; see {@linkcode Fitted.explain}. */
  readonly explain?: (score: number, state: FittedState) => string | undefined;
}

/**
 * Makes a score of its definition. Checks of parameters and of the data's keys are done here, once
 * for all scores.
 *
 * @param definition The score's description and parts.
 * @returns The score.
 *
 * @example The mean of the logits, as a score
 * ```ts
 * import { defineScore } from "@oodgpu/oodgpu/methods";
 * import { rowMean } from "@oodgpu/oodgpu/kernels";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const meanLogit = defineScore({
 *   name: "mean_logit",
 *   title: "Mean logit",
 *   source: "none",
 *   summary: "The mean of the logits",
 *   needs: ["logits"],
 *   fitNeeds: [],
 *   usesValidation: false,
 *   parameters: [],
 *   evidence: { quantity: "mean logit", negated: false },
 *   arrays: {},
 *   place: () => (context, batch) => rowMean(context, { x: batch["logits"]! }),
 *   graph: (builder, inputs) => builder.reduce("ReduceMean", inputs["logits"]!, { axes: [1] }),
 * });
 * using host = new Host();
 * const logits = { data: new Float32Array([1, 3]), shape: [1, 2] };
 * const fitted = await meanLogit.fit({ train: memoryFeatures({ logits }), context: host });
 * const [scores] = await host.read(fitted.score(host, { logits: host.upload(logits.data, [1, 2]) }));
 * assertEquals([...scores!], [2]);
 * ```
 */
export function defineScore(definition: ScoreDefinition): ScoreMethod {
  const {
    arrays: _arrays,
    learn,
    place: _place,
    graph: _graph,
    graphRowBytes: _bytes,
    explain: _explain,
    ...description
  } = definition;
  const method: ScoreMethod = {
    ...description,
    async fit(input) {
      const parameters = resolveParameters(description, input.parameters);
      const purpose = `fit "${description.name}"`;
      if (learn !== undefined && input.train.count === 0) {
        throw new UserError(`Cannot ${purpose}: "${input.train.path}" has no rows`);
      }
      storedKeys(input.train, description.fitNeeds, purpose);
      const learned = await learn?.({ ...input, parameters }) ?? { arrays: {} };
      requireFinite(learned.arrays, purpose);
      return method.restore({
        parameters: { ...parameters, ...learned.parameters },
        inputs: inputsOf(input, description.needs),
        arrays: learned.arrays,
        ...(learned.warnings ? { warnings: learned.warnings } : {}),
      });
    },
    restore(state) {
      requireState(definition, state);
      return new FittedScore(method, definition, state);
    },
  };
  return method;
}

/** Row dimensions of what scoring reads; keys that the training set lacks stay open. */
function inputsOf(
  input: FitInput,
  needs: readonly string[],
): Record<string, readonly number[]> {
  return Object.fromEntries(needs.map((key) => [key, rowShape(input.train, key) ?? [-1]]));
}

function requireFinite(arrays: FittedState["arrays"], purpose: string): void {
  for (const [name, array] of Object.entries(arrays)) {
    const finite = array.parts.every((part) => part.every(Number.isFinite));
    if (!finite) {
      throw new UserError(
        `Cannot ${purpose}: its "${name}" came out as NaN or infinite; the training data are too ` +
          `large for float32 or do not vary`,
      );
    }
  }
}

function requireState(definition: ScoreDefinition, state: FittedState): void {
  const refuse = (why: string): never => {
    throw new UserError(`Cannot restore a fitted "${definition.name}": ${why}`);
  };
  for (const [name, rank] of Object.entries(definition.arrays)) {
    const array = state.arrays[name];
    if (array === undefined) refuse(`the array "${name}" is missing`);
    else if (array.shape.length !== rank) {
      refuse(`the array "${name}" has ${array.shape.length} dimensions instead of ${rank}`);
    } else {
      const expected = array.shape.reduce((product, length) => product * length, 1);
      const actual = array.parts.reduce((sum, part) => sum + part.length, 0);
      if (expected !== actual) refuse(`the array "${name}" has ${actual} of ${expected} elements`);
    }
  }
  for (const key of definition.needs) {
    if (state.inputs[key] === undefined) refuse(`it does not say how long "${key}" is`);
  }
  for (const { name } of definition.parameters) {
    if (!Number.isFinite(state.parameters[name])) refuse(`the parameter "${name}" is missing`);
  }
}

/** The one implementation of {@linkcode Fitted}. */
class FittedScore implements Fitted {
  readonly method: ScoreMethod;
  readonly #definition: ScoreDefinition;
  readonly #state: FittedState;

  constructor(method: ScoreMethod, definition: ScoreDefinition, state: FittedState) {
    this.method = method;
    this.#definition = definition;
    this.#state = state;
  }

  get parameters(): Readonly<Record<string, number>> {
    return this.#state.parameters;
  }

  get needs(): readonly string[] {
    return this.method.needs;
  }

  get inputs(): Readonly<Record<string, readonly number[]>> {
    return this.#state.inputs;
  }

  get dimensions(): { readonly C?: number; readonly K?: number } {
    const C = this.inputs["features"]?.[0] ?? -1;
    const K = this.inputs["logits"]?.[0] ?? -1;
    return { ...(C >= 0 ? { C } : {}), ...(K >= 0 ? { K } : {}) };
  }

  get warnings(): readonly string[] {
    return this.#state.warnings ?? [];
  }

  get byteLength(): number {
    const arrays = Object.values(this.#state.arrays);
    return arrays.flatMap(({ parts }) => parts).reduce((sum, part) => sum + part.byteLength, 0);
  }

  get graphRowBytes(): number {
    return this.#definition.graphRowBytes?.(this.#state) ?? 0;
  }

  explain(score: number): string | undefined {
    return this.#definition.explain?.(score, this.#state);
  }

  place(context: Context): Scorer {
    return this.#definition.place(context, this.#state);
  }

  score(context: Context, batch: ScoreBatch): Tensor {
    return this.place(context)(context, batch);
  }

  state(): FittedState {
    return this.#state;
  }

  graph(builder: GraphBuilder, inputs: Readonly<Record<string, string>>): string {
    return this.#definition.graph(builder, inputs, this.#state);
  }
}
