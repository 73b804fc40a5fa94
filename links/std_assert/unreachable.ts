import { failure } from "./_message.ts";

/** Fails when it is reached. */
export function unreachable(reason?: string): never {
  throw failure("Unreachable", reason);
}
