/** What every assertion throws. */
export class AssertionError extends Error {
  /** The class's name, as shown by consoles. */
  override name: string = "AssertionError";
}
