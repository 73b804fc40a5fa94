/**
 * The worker of a decode pool: loads the images that it is sent, one after the other, and sends
 * back pixels without copying them.
 *
 * Messages in: `{ id, item, preprocess? }`. Messages out: `{ ready: true }` once, then for each
 * message in, in order, `{ id, loaded }`, `{ id, reason }` for an image that cannot be read, or
 * `{ id, fault }` when the worker should be replaced.
 *
 * @module
 */

import type { PreprocessSpec } from "../kernels/preprocess/spec.ts";
import { type ImageItem, loadItem } from "./_load_item.ts";
import { ImageError } from "./image.ts";

interface Scope {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(message: unknown, transfer?: Transferable[]): void;
}

interface Request {
  readonly id: number;
  readonly item: ImageItem;
  readonly preprocess?: PreprocessSpec;
}

const scope = self as unknown as Scope;
let last: Promise<void> = Promise.resolve();

async function answer({ id, item, preprocess }: Request): Promise<void> {
  try {
    const loaded = await loadItem(item, preprocess);
    const data = loaded.pixels ?? loaded.image!.data;
    scope.postMessage({ id, loaded }, [data.buffer as ArrayBuffer]);
  } catch (error) {
    if (error instanceof ImageError) {
      scope.postMessage({ id, reason: error.reason });
      return;
    }
    // Anything else (no memory left, a fault of this program) may have left a codec in disorder.
    const reason = error instanceof Error ? error.message : String(error);
    scope.postMessage({ id, fault: reason });
  }
}

scope.onmessage = (event) => {
  last = last.then(() => answer(event.data));
};
scope.postMessage({ ready: true });
