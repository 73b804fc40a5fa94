/**
 * What tests in a page get in the place of Node's modules: enough for `@std/assert` and for
 * fingerprints. Bundled by browser_check.ts.
 *
 * @module
 */

/** A value in words. */
export function inspect(value: unknown): string {
  const seen = new Set<unknown>();
  const text = JSON.stringify(value, (_, member) => {
    if (typeof member === "bigint") return `${member}n`;
    if (typeof member !== "object" || member === null) return member;
    if (seen.has(member)) return "[circle]";
    seen.add(member);
    return ArrayBuffer.isView(member) ? Array.from(member as Float32Array) : member;
  });
  return text ?? String(value);
}

/** Two values that were to be the same. */
export class AssertionError extends Error {
  /**
   * Makes the error.
   *
   * @param values The two.
   */
  constructor(values: { readonly actual: unknown; readonly expected: unknown }) {
    super(`\nactual ${inspect(values.actual)}\nexpected ${inspect(values.expected)}`);
  }
}

/** Text as it is: nothing in a page is coloured. */
export function stripVTControlCharacters(text: string): string {
  return text;
}

/** A SHA-256 that is fed piece by piece. */
export interface Hash {
  /** Feeds it. */
  update(data: Uint8Array | string): Hash;
  /** The fingerprint in hexadecimal digits. */
  digest(): string;
}

/** Node's function of that name; SHA-256 whatever is asked for. */
export function createHash(): Hash {
  const fed: number[] = [];
  const hash: Hash = {
    update(data) {
      for (const byte of typeof data === "string" ? new TextEncoder().encode(data) : data) {
        fed.push(byte);
      }
      return hash;
    },
    digest: () => sha256(Uint8Array.from(fed)),
  };
  return hash;
}

const PRIMES: readonly number[] = primes(64);

function primes(count: number): number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) {
    if (found.every((prime) => n % prime !== 0)) found.push(n);
  }
  return found;
}

/** The first 32 bits behind the point, as FIPS 180-4 takes its constants from roots of primes. */
function fraction(value: number): number {
  return Math.floor((value - Math.floor(value)) * 2 ** 32);
}

function turned(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

/** FIPS 180-4, section 6.2. */
function sha256(bytes: Uint8Array): string {
  const padded = new Uint8Array((bytes.length + 9 + 63) & ~63);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, 8n * BigInt(bytes.length));
  const state = Uint32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const constants = PRIMES.map((prime) => fraction(Math.cbrt(prime)));
  const words = new Uint32Array(64);
  for (let block = 0; block < padded.length; block += 64) {
    for (let t = 0; t < 64; t++) {
      if (t < 16) {
        words[t] = view.getUint32(block + 4 * t);
        continue;
      }
      const [early, late] = [words[t - 15]!, words[t - 2]!];
      words[t] = words[t - 16]! + words[t - 7]! +
        (turned(early, 7) ^ turned(early, 18) ^ (early >>> 3)) +
        (turned(late, 17) ^ turned(late, 19) ^ (late >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = [...state] as [
      ...[number, number, number, number, number, number, number, number],
    ];
    for (let t = 0; t < 64; t++) {
      const first = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) +
        constants[t]! + words[t]!;
      const second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) +
        ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => state[i] = state[i]! + value);
  }
  return [...state].map((word) => word.toString(16).padStart(8, "0")).join("");
}
