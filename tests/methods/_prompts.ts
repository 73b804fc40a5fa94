/** A text encoder for tests: what a text says decides its feature, without a model. */

import type { PromptEncoder } from "../../methods/mod.ts";

/** The encoder, and what it was asked. */
export interface FakeEncoder extends PromptEncoder {
  /** Texts of each call. */
  readonly calls: readonly (readonly string[])[];
}

/** How the encoder answers. */
export interface FakeEncoderOptions {
  /** Length of a feature. */
  readonly width?: number;
  /** Hash of the model. */
  readonly hash?: string;
  /** The feature of a text; by default made up from its letters. */
  readonly feature?: (text: string) => ArrayLike<number>;
}

/** Makes an encoder that needs no model. */
export function fakeEncoder(options: FakeEncoderOptions = {}): FakeEncoder {
  const { width = 6, hash = "fake" } = options;
  const feature = options.feature ?? ((text: string) => lettersOf(text, width));
  const calls: string[][] = [];
  return {
    logitScale: 100,
    hash: { text: hash },
    calls,
    encodeTexts(texts, { signal, onProgress } = {}) {
      signal?.throwIfAborted();
      calls.push([...texts]);
      const embed = Float32Array.from(texts.flatMap((text) => Array.from(feature(text))));
      onProgress?.(texts.length, texts.length);
      return Promise.resolve({ embed, width });
    },
  };
}

/** A feature that differs from text to text, of no particular length. */
function lettersOf(text: string, width: number): Float32Array {
  const values = new Float32Array(width).fill(0.1);
  for (const [i, letter] of [...text].entries()) {
    const code = letter.codePointAt(0)!;
    values[(code + i) % width]! += Math.sin(code * (i + 1));
  }
  return values;
}
