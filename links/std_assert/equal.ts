type Keyed = Record<PropertyKey, unknown>;
type Numbers = ArrayLike<number | bigint>;

/**
 * Whether two values are deeply equal: 0 equals -0 and NaN equals NaN, prototypes count, and a
 * member that is undefined is not the same as one that is absent.
 */
export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b, new Map());
}

function compare(a: unknown, b: unknown, seen: Map<unknown, unknown>): boolean {
  if (sameValue(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  if (a instanceof Date && b instanceof Date) {
    return sameValue(a.getTime(), b.getTime());
  }
  if (!samePrototype(a, b)) return false;
  if (isNumbers(a)) return sameNumbers(a, b as Numbers & object);
  if (isBytes(a)) {
    return sameNumbers(new Uint8Array(a), new Uint8Array(b as typeof a));
  }
  if (a instanceof WeakRef) {
    return compare(a.deref(), (b as WeakRef<WeakKey>).deref(), seen);
  }
  refuseWeak(a);
  // A pair that is being compared further up counts as equal, or circles would never end.
  if (seen.get(a) === b) return true;
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  seen.set(a, b);
  if (a instanceof Set) return sameEntries(a, b as Set<unknown>, seen);
  if (a instanceof Map) return sameEntries(a, b as Map<unknown, unknown>, seen);
  if (isText(a)) return String(a) === String(b);
  for (const key of allKeys(a, b)) {
    if (key in a !== key in b) return false;
    if (!compare((a as Keyed)[key], (b as Keyed)[key], seen)) return false;
  }
  return true;
}

function sameValue(a: unknown, b: unknown): boolean {
  return a === b || Object.is(a, b);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function samePrototype(a: object, b: object): boolean {
  const from = (value: object) => Object.getPrototypeOf(value) ?? Object.prototype;
  return from(a) === from(b);
}

function isNumbers(value: object): value is Numbers & object {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function isBytes(value: object): value is ArrayBufferLike {
  return value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
}

function sameNumbers(a: Numbers, b: Numbers): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!sameValue(a[i], b[i])) return false;
  return true;
}

function refuseWeak(value: object): void {
  if (value instanceof WeakMap) {
    throw new TypeError("Cannot compare WeakMap instances");
  }
  if (value instanceof WeakSet) {
    throw new TypeError("Cannot compare WeakSet instances");
  }
}

type Collection = Set<unknown> | Map<unknown, unknown>;

/** Keys may be objects that are equal without being the same, in any order. */
function sameEntries(
  a: Collection,
  b: Collection,
  seen: Map<unknown, unknown>,
): boolean {
  if (a.size !== b.size) return false;
  const left = [...b.entries()];
  for (const [key, value] of a.entries()) {
    const at = left.findIndex(([otherKey, other]) =>
      compare(key, otherKey, seen) && compare(value, other, seen)
    );
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return true;
}

/** Objects whose whole state is their text: their getters are not own members. */
function isText(value: object): boolean {
  return value instanceof RegExp || value instanceof URL ||
    value instanceof URLSearchParams ||
    value instanceof Intl.Locale ||
    String(Object.getPrototypeOf(value)?.[Symbol.toStringTag]).startsWith(
      "Temporal.",
    );
}

function allKeys(a: object, b: object): Iterable<PropertyKey> {
  return isPlain(a)
    ? new Set([...Reflect.ownKeys(a), ...Reflect.ownKeys(b)])
    : keysOfChain(a).union(keysOfChain(b));
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype ||
    prototype === Array.prototype;
}

/** Getters of classes stand on prototypes and are compared too. */
function keysOfChain(value: object): Set<PropertyKey> {
  const keys = new Set<PropertyKey>();
  let at: object | null = value;
  while (at !== null && at !== Object.prototype && at !== Array.prototype) {
    Reflect.ownKeys(at).forEach((key) => keys.add(key));
    at = Object.getPrototypeOf(at);
  }
  return keys;
}
