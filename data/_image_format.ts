/**
 * What the bytes of a file are, by their content, and whether the container is whole. The codecs
 * paint what is missing grey or black without a word, so this is looked at before them.
 */

/** The formats that can be decoded. */
export type ImageFormat = "jpeg" | "png" | "webp";

const SIGNATURES: readonly (readonly [string, readonly (readonly [number, string])[]])[] = [
  ["a GIF", [[0, "GIF8"]]],
  ["a BMP", [[0, "BM"]]],
  ["a TIFF", [[0, "II*\0"]]],
  ["a TIFF", [[0, "MM\0*"]]],
  ["an AVIF", [[4, "ftypavif"]]],
  ["a HEIC", [[4, "ftyphei"]]],
  ["a HEIC", [[4, "ftypmif1"]]],
  ["a JPEG XL", [[4, "JXL "]]],
  ["a JPEG 2000", [[4, "jP  "]]],
  ["a Photoshop document", [[0, "8BPS"]]],
  ["a PDF document", [[0, "%PDF"]]],
  ["a ZIP archive", [[0, "PK\x03\x04"]]],
  ["a gzip archive", [[0, "\x1f\x8b"]]],
  ["a NumPy array", [[0, "\x93NUMPY"]]],
];

function hasText(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (bytes[at + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** Whether the beginning reads as text: no control characters and sound UTF-8. */
function isText(bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, 512);
  if (head.some((byte) => byte < 32 && byte !== 9 && byte !== 10 && byte !== 13)) return false;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** The format, or `{ reason }` for a file that is no image that can be decoded. */
export function sniff(bytes: Uint8Array): ImageFormat | { readonly reason: string } {
  if (bytes.length === 0) return { reason: "the file is empty" };
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && (bytes.length === 2 || bytes[2] === 0xff)) {
    return "jpeg";
  }
  if (bytes[0] === 0x89 && hasText(bytes, 1, "PNG\r\n\x1a\n")) return "png";
  if (hasText(bytes, 0, "RIFF") && hasText(bytes, 8, "WEBP")) return "webp";
  for (const [name, parts] of SIGNATURES) {
    if (parts.every(([at, text]) => hasText(bytes, at, text))) {
      return { reason: `it is ${name}; JPEG, PNG and WebP can be read` };
    }
  }
  if (bytes.every((byte) => byte === 0)) return { reason: "it holds nothing but zeros" };
  if (isText(bytes)) return { reason: "it is text, not an image" };
  return { reason: "it is no JPEG, PNG or WebP image" };
}

const TRUNCATED = "the file is truncated";

/** Whether a marker begins a frame: SOF0 to SOF15 without those that mean tables. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Why a frame cannot be decoded; its segment's length stands at `at`. */
function frameFault(bytes: Uint8Array, marker: number, at: number): string | undefined {
  if (marker === 0xc3 || (marker >= 0xc5 && marker !== 0xc9 && marker !== 0xca)) {
    return "it is a lossless or hierarchical JPEG, which cannot be read";
  }
  if (bytes[at + 2] !== 8) return `it is a JPEG of ${bytes[at + 2]} bits, and 8 can be read`;
  // The codec gives RGB only and has no conversion from four components.
  if (bytes[at + 7] === 4) return "it is a CMYK JPEG, which cannot be read; convert it to RGB";
  return undefined;
}

/** Where entropy-coded data ends: at a marker that is neither a stuffed byte nor a restart. */
function endOfScan(bytes: Uint8Array, begin: number): number | undefined {
  let at = begin;
  while (true) {
    at = bytes.indexOf(0xff, at);
    if (at < 0 || at + 1 >= bytes.length) return undefined;
    const next = bytes[at + 1]!;
    if (next !== 0x00 && next !== 0xff && !(next >= 0xd0 && next <= 0xd7)) return at;
    at += next === 0xff ? 1 : 2;
  }
}

/** Why a JPEG cannot be decoded, seen from its segments; undefined when they are in order. */
export function jpegFault(bytes: Uint8Array): string | undefined {
  let at = 2;
  let sawFrame = false;
  let sawScan = false;
  while (at < bytes.length) {
    // Stray bytes between segments are passed over, as the codec does; it says how many there were.
    at = bytes.indexOf(0xff, at);
    if (at < 0) return TRUNCATED;
    while (bytes[at] === 0xff) at++;
    const marker = bytes[at++];
    if (marker === undefined) return TRUNCATED;
    if (marker === 0xd9) {
      if (!sawFrame || !sawScan) return "it is a JPEG without an image in it";
      return undefined;
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    if (at + 2 > bytes.length) return TRUNCATED;
    const length = bytes[at]! * 256 + bytes[at + 1]!;
    if (length < 2) return "it is damaged: a JPEG segment has no length";
    if (isFrame(marker)) {
      const fault = frameFault(bytes, marker, at);
      if (fault !== undefined) return fault;
      sawFrame = true;
    }
    at += length;
    if (marker !== 0xda) continue;
    sawScan = true;
    const end = endOfScan(bytes, at);
    if (end === undefined) return TRUNCATED;
    at = end;
  }
  return TRUNCATED;
}

let crcTable: Uint32Array | undefined;

/** The CRC-32 that PNG uses (ISO 3309). */
export function crc32(bytes: Uint8Array): number {
  if (crcTable === undefined) {
    crcTable = new Uint32Array(256);
    for (let n = 0; n < 256; n++) {
      let c = n;
      for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
      crcTable[n] = c;
    }
  }
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Why a PNG cannot be decoded, seen from its chunks; undefined when they are in order. */
export function pngFault(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 8;
  let sawData = false;
  while (at + 12 <= bytes.length) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) return TRUNCATED;
    const critical = (bytes[at + 4]! & 0x20) === 0;
    const stored = view.getUint32(at + 8 + length);
    if (critical && crc32(bytes.subarray(at + 4, at + 8 + length)) !== stored) {
      return "it is damaged: a PNG checksum is wrong";
    }
    if (at === 8 && !hasText(bytes, 12, "IHDR")) return "it is damaged: its PNG header is missing";
    if (hasText(bytes, at + 4, "IDAT")) sawData = true;
    if (hasText(bytes, at + 4, "IEND")) {
      return sawData ? undefined : "it is a PNG without an image in it";
    }
    at += 12 + length;
  }
  return TRUNCATED;
}

/** Why a WebP cannot be decoded, seen from its container; undefined when it is in order. */
export function webpFault(bytes: Uint8Array): string | undefined {
  if (bytes.length < 20) return TRUNCATED;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (8 + view.getUint32(4, true) > bytes.length) return TRUNCATED;
  if (hasText(bytes, 12, "VP8X") && (bytes[20]! & 0x02) !== 0) {
    return "it is an animated WebP, and one picture was expected";
  }
  return undefined;
}

/** Width and height that a header names, in pixels. */
interface HeaderSize {
  readonly width: number;
  readonly height: number;
}

/** The size that the first frame of a JPEG names; undefined when it comes later than these bytes. */
function jpegSize(bytes: Uint8Array): HeaderSize | undefined {
  let at = 2;
  while (at < bytes.length) {
    at = bytes.indexOf(0xff, at);
    if (at < 0) return undefined;
    while (bytes[at] === 0xff) at++;
    const marker = bytes[at++];
    if (marker === undefined || at + 2 > bytes.length) return undefined;
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd9)) continue;
    // Entropy-coded data has no size, and a frame would have come before it.
    if (marker === 0xda) return undefined;
    if (isFrame(marker)) {
      if (at + 7 > bytes.length) return undefined;
      return {
        height: bytes[at + 3]! * 256 + bytes[at + 4]!,
        width: bytes[at + 5]! * 256 + bytes[at + 6]!,
      };
    }
    at += Math.max(2, bytes[at]! * 256 + bytes[at + 1]!);
  }
  return undefined;
}

/** The size that a PNG's header names. */
function pngSize(bytes: Uint8Array): HeaderSize | undefined {
  if (bytes.length < 24 || !hasText(bytes, 12, "IHDR")) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/** The size that the first chunk of a WebP names: lossy, lossless or extended. */
function webpSize(bytes: Uint8Array): HeaderSize | undefined {
  if (bytes.length < 30) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (hasText(bytes, 12, "VP8X")) {
    const sideAt = (at: number) => 1 + view.getUint16(at, true) + bytes[at + 2]! * 65536;
    return { width: sideAt(24), height: sideAt(27) };
  }
  if (hasText(bytes, 12, "VP8L")) {
    const bits = view.getUint32(21, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + (bits >>> 14 & 0x3fff) };
  }
  if (!hasText(bytes, 12, "VP8 ")) return undefined;
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}

const SIZES: Readonly<Record<ImageFormat, (bytes: Uint8Array) => HeaderSize | undefined>> = {
  jpeg: jpegSize,
  png: pngSize,
  webp: webpSize,
};

/**
 * The size that the beginning of a file names; undefined where that does not reach so far, is
 * damaged, or the image says it only at its end.
 */
export function headerSize(bytes: Uint8Array): HeaderSize | undefined {
  const format = sniff(bytes);
  const size = typeof format === "string" ? SIZES[format](bytes) : undefined;
  return size !== undefined && size.width > 0 && size.height > 0 ? size : undefined;
}
