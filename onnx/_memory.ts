/**
 * Running out of memory: how to tell, and how to go on with less at a time.
 *
 * @module
 */

import { OutOfMemoryError } from "../runtime/errors.ts";
import type { OnnxSession } from "./session.ts";

/** What the engines say: onnxruntime's allocators, V8, WebAssembly's memory, WebGPU. */
const MEMORY_REGEXP = new RegExp(
  [
    "bad_?\\s?alloc",
    "out[- ]of[- ]memory|\\bOOM\\b",
    "not enough memory",
    "failed to allocate|allocation failed|cannot allocate",
    "exceeds? the (supported )?max\\w*|maximum buffer size|buffer size is greater",
    "would require more than \\d+ bytes|too many storage buffers",
    "invalid (typed )?array length|array buffer allocation",
  ].join("|"),
  "i",
);

/** How many errors are followed to their causes. */
const MAX_CAUSES = 8;

/** Whether an error, or what caused it, says that memory did not suffice. */
export function isOutOfMemory(error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    if (current instanceof OutOfMemoryError || MEMORY_REGEXP.test(current.message)) return true;
    current = current.cause;
  }
  return false;
}

/** How many things are done at once: fewer after each time that memory did not suffice. */
export class BatchLimit {
  #size: number;
  readonly #what: string;
  readonly #warn: ((message: string) => void) | undefined;
  #first: number | undefined;
  #warned = false;

  /**
   * @param size How many at most.
   * @param what What they are, in the plural, for the warning.
   * @param warn Takes one sentence once fewer at a time have worked.
   */
  constructor(size: number, what: string, warn?: (message: string) => void) {
    this.#size = size;
    this.#what = what;
    this.#warn = warn;
  }

  /** How many things to do at once. */
  get size(): number {
    return this.#size;
  }

  /**
   * Takes half of `tried` from now on, after an error that says that memory did not suffice.
   *
   * @throws The error when it says something else, or when one at a time was too much.
   */
  halve(tried: number, error: unknown): void {
    if (tried <= 1 || !isOutOfMemory(error)) throw error;
    this.#first ??= tried;
    this.#size = Math.min(this.#size, Math.ceil(tried / 2));
  }

  /** Says once that fewer at a time have worked. */
  worked(): void {
    if (this.#first === undefined || this.#warned) return;
    this.#warned = true;
    this.#warn?.(
      `${this.#first} ${this.#what} at a time did not fit into memory: going on with ${this.#size}`,
    );
  }
}

/**
 * A session that can be opened anew: after a lack of memory the old one may fail whatever it is
 * given, and keep what it had taken.
 */
export class ReopenedSession implements AsyncDisposable {
  readonly #open: () => Promise<OnnxSession>;
  #session: OnnxSession | undefined;

  private constructor(open: () => Promise<OnnxSession>, session: OnnxSession) {
    this.#open = open;
    this.#session = session;
  }

  /** Opens it for the first time. */
  static async open(open: () => Promise<OnnxSession>): Promise<ReopenedSession> {
    return new ReopenedSession(open, await open());
  }

  /** The session as it is now. */
  get current(): OnnxSession {
    if (this.#session === undefined) throw new ReferenceError("Cannot run: the session is gone");
    return this.#session;
  }

  /** Gives the old one back, with its outputs, and opens another. */
  async reopen(): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#session = await this.#open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.dispose();
  }
}
