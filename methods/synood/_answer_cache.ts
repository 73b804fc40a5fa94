/**
 * Answers that were given already, a file each, so that no question is asked twice: a run that was
 * stopped goes on where it was.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { writeFileAtomic } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";

const VERSION = 1;

/** All that an answer depends on. */
export interface AskedQuestion {
  /** SHA-256 of the image. */
  readonly image: string;
  /** The class's name; empty where it is unknown. */
  readonly class: string;
  /** The question as it is asked. */
  readonly question: string;
  /** The model's name. */
  readonly model: string;
  /** Longest side of what is sent. */
  readonly imageSize: number;
  /** Further fields of the request. */
  readonly request: Readonly<Record<string, unknown>>;
}

/** The name under which an answer is kept. */
export function answerKey(asked: AskedQuestion): string {
  const { image, class: className, question, model, imageSize, request } = asked;
  const text = JSON.stringify([VERSION, image, className, question, model, imageSize, request]);
  return createHash("sha256").update(text).digest("hex");
}

/** A folder of answers. */
export class AnswerCache {
  readonly #folder: string;

  /** @param folder The folder; it is made when the first answer comes. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** An answer; undefined when there is none, or its file is damaged. */
  async get(key: string): Promise<string | undefined> {
    let text: string;
    try {
      text = await Deno.readTextFile(this.#path(key));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw new UserError(
        `Cannot read the answers in "${this.#folder}": ${(error as Error).message}`,
        { cause: error },
      );
    }
    try {
      const { version, answer } = JSON.parse(text) as { version: unknown; answer: unknown };
      return version === VERSION && typeof answer === "string" ? answer : undefined;
    } catch {
      return undefined;
    }
  }

  /** Keeps an answer, with what it is about for a person who looks. */
  async put(key: string, answer: string, about: Readonly<Record<string, string>>): Promise<void> {
    const path = this.#path(key);
    try {
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    } catch (error) {
      throw new UserError(
        `Cannot keep answers in "${this.#folder}": ${(error as Error).message}`,
        { cause: error },
      );
    }
    await writeFileAtomic(path, `${JSON.stringify({ version: VERSION, ...about, answer })}\n`);
  }

  #path(key: string): string {
    return `${this.#folder}/${key.slice(0, 2)}/${key.slice(2)}.json`;
  }
}
