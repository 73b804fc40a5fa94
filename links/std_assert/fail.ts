import { failure } from "./_message.ts";

/** Fails always. */
export function fail(msg?: string): never {
  throw failure("Failed assertion", msg);
}
