/**
 * Reverse-mode differentiation over kernels: operations add themselves to a tape on the way
 * forward, and the tape visits them in reverse.
 *
 * @module
 */

import { add, addInto } from "../kernels/mod.ts";
import type { Context, Tensor } from "../runtime/mod.ts";
import { GradientStore } from "./_gradient_store.ts";
import { Variable } from "./variable.ts";

/** Where the backward function of an operation puts the gradients of its inputs. */
export interface Gradients {
  /** The context in which gradients are computed; its tensors die with the operation. */
  readonly ctx: Context;
  /** Whether anybody wants this input's gradient. */
  wants(input: Variable): boolean;
  /**
   * Where this input's gradient should be written: the parameter's own place, when this is the
   * first contribution to it; undefined when any new tensor will do.
   */
  out(input: Variable): Tensor | undefined;
  /** Hands over a gradient, which may be the incoming one itself or a view of it. */
  send(input: Variable, gradient: Tensor): void;
  /** Hands one new gradient to several inputs. */
  sendShared(inputs: readonly Variable[], gradient: Tensor): void;
}

/** One operation as the tape sees it. */
export interface Operation {
  /** What it read; other inputs get no gradient. */
  readonly inputs: readonly Variable[];
  /** What it made. */
  readonly output: Tensor;
  /** Computes the gradients of the inputs from that of the output. */
  readonly backward: (dY: Tensor, gradients: Gradients) => void;
  /** Tensors that only `backward` reads; released when it has run. */
  readonly saved?: readonly Tensor[];
}

interface Node extends Operation {
  readonly variable: Variable;
}

/** Where a backward pass begins: a variable and the gradient of the loss by it. */
export interface Seed {
  /** The variable. */
  readonly variable: Variable;
  /** A tensor of the same shape. */
  readonly gradient: Tensor;
}

/**
 * Records operations and differentiates them.
 *
 * Values that a tape's operations made are released as soon as the backward pass no longer needs
 * them, so read or copy what is wanted from them before it (recording order counts, not time), or
 * name them in {@linkcode Tape.retain}. One tape serves one forward and one backward pass.
 *
 * @example The gradient of a sum of squares
 * ```ts
 * import { Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { mul } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([3, -2]), [2]), { needsGradient: true });
 * const tape = new Tape(host);
 * const square = mul(tape, x, x);
 * tape.backward([{ variable: square, gradient: host.upload(new Float32Array([1, 1]), [2]) }]);
 * assertEquals([...tape.gradientOf(x)!.data], [6, -4]);
 * ```
 */
export class Tape {
  /** Where operations run. */
  readonly ctx: Context;
  readonly #nodes: Node[] = [];
  readonly #retained: Set<Tensor> = new Set();
  readonly #store: GradientStore;
  #done = false;

  /**
   * Begins a tape.
   *
   * @param ctx Where operations run; it owns what they make.
   */
  constructor(ctx: Context) {
    this.ctx = ctx;
    this.#store = new GradientStore(ctx, { add, addInto });
  }

  /**
   * Adds an operation that has run.
   *
   * @param operation Its inputs, its output, and how to go back.
   * @returns The output as a variable; it needs a gradient when an input does.
   */
  operation(operation: Operation): Variable {
    const needsGradient = operation.inputs.some((input) => input.needsGradient);
    const variable = new Variable(operation.output, { needsGradient });
    if (needsGradient) this.#nodes.push({ ...operation, variable });
    else operation.saved?.forEach((tensor) => tensor.dispose());
    return variable;
  }

  /**
   * Keeps a variable's value alive through the backward pass.
   *
   * @param variable A variable of this tape.
   * @returns The same variable.
   */
  retain(variable: Variable): Variable {
    this.#retained.add(variable.value);
    return variable;
  }

  /**
   * Goes back from the seeds to everything that needs a gradient. Parameters get theirs written
   * (not added) where they want it; those that the seeds do not depend on keep what is there.
   *
   * @param seeds Where to begin; a variable may be named several times. Seeds are not changed.
   * @throws {TypeError} When the tape has been gone back before.
   */
  backward(seeds: readonly Seed[]): void {
    if (this.#done) throw new TypeError("Cannot go back on a tape twice: record it again");
    this.#done = true;
    const store = this.#store;
    for (const { variable, gradient } of seeds) {
      if (variable.needsGradient) store.contribute(variable, gradient, { borrowed: true });
    }
    for (const node of this.#nodes.reverse()) {
      const dY = store.take(node.variable);
      if (dY !== undefined) this.#visit(node, dY);
      node.saved?.forEach((tensor) => tensor.dispose());
      if (!this.#isRetained(node.output)) node.output.dispose();
    }
    this.#nodes.length = 0;
  }

  /**
   * The gradient of a variable that no operation of this tape made, after
   * {@linkcode Tape.backward}.
   *
   * @param variable A parameter, or an input that needs a gradient.
   * @returns Its gradient, or undefined when the seeds do not depend on it.
   */
  gradientOf(variable: Variable): Tensor | undefined {
    return this.#store.peek(variable);
  }

  /** Whether somebody keeps a tensor, or a view of it. */
  #isRetained(tensor: Tensor): boolean {
    if (this.#retained.has(tensor)) return true;
    return !tensor.disposed &&
      [...this.#retained].some((kept) => !kept.disposed && kept.sharesMemory(tensor));
  }

  #visit(node: Node, dY: Tensor): void {
    const store = this.#store;
    using scope = this.ctx.scope();
    const gradients: Gradients = {
      ctx: scope,
      wants: (input) => input.needsGradient,
      out: (input) => store.out(input),
      send: (input, gradient) => {
        if (input.needsGradient) store.contribute(input, gradient, { scope, incoming: dY });
      },
      sendShared: (inputs, gradient) => {
        store.adopt(gradient, scope);
        for (const input of inputs.filter((input) => input.needsGradient)) {
          store.contribute(input, gradient, { incoming: gradient });
        }
        store.release(gradient);
      },
    };
    node.backward(dY, gradients);
    store.release(dY);
  }
}
