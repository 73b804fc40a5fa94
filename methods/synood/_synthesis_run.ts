/**
 * One call's way through the work: batch by batch, each with its rounds of denoising, decoding and
 * moving the noise.
 *
 * @module
 */

import { type RgbImage, Rng } from "../../kernels/mod.ts";
import { BatchLimit } from "../../onnx/memory.ts";
import type { Inspection, OnnxModel } from "../../onnx/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { Ddim } from "./ddim.ts";
import type { LatentDiffusion } from "./diffusion.ts";
import { SkipGradient } from "./skip_gradient.ts";
import type { SynthesisSeconds, SynthesisStage } from "./synthesis.ts";
import type { Boundary, ImageScores } from "./synthesis_loss.ts";
import { denoisingsOf, type SynthesisSettings } from "./synthesis_settings.ts";
import type { SyntheticImage, SyntheticStore } from "./synthetic_images.ts";
import { imageSeed, type WorkItem } from "./work_list.ts";

/** What a run is made from. */
export interface RunParts {
  readonly diffusion: LatentDiffusion;
  readonly classifier: { readonly model: OnnxModel; readonly inspection: Inspection };
  readonly ctx: Context;
  readonly settings: SynthesisSettings;
  readonly items: readonly WorkItem[];
  readonly batch: number;
  readonly store: SyntheticStore;
  readonly signal?: AbortSignal;
  readonly onProgress?: (stage: SynthesisStage, done: number, total: number) => void;
  readonly onWarning?: (text: string) => void;
}

/** What {@linkcode SynthesisRun.generate} needs beside the work. */
export interface Generation {
  /** Images that are made already. */
  readonly done: readonly SyntheticImage[];
  /** Scores of the source images. */
  readonly scores: ImageScores | undefined;
  readonly boundary: Boundary | null;
  /** The source of an item. */
  readonly image: (index: number) => RgbImage | undefined;
}

/** Latents and conditions of a batch. */
interface Prepared {
  /** Place of its first image. */
  readonly start: number;
  readonly count: number;
  /** z of the source images; undefined where there are none. */
  readonly latents: Float32Array<ArrayBuffer> | undefined;
}

/** What came of a batch. */
interface Made {
  readonly images: readonly RgbImage[];
  /** By denoising, then by image. */
  readonly loss: readonly (readonly number[])[];
  readonly energy: readonly (readonly number[])[];
  readonly msp: readonly (readonly number[])[];
}

/** Bytes of conditions and latents that are held at a time; the encoders are closed meanwhile. */
const HELD_BYTES = 1 << 29;

/** One call. */
export class SynthesisRun implements AsyncDisposable {
  readonly seconds: { -readonly [K in keyof SynthesisSeconds]: number } = {
    load: 0,
    score: 0,
    text: 0,
    encode: 0,
    denoise: 0,
    gradient: 0,
    decode: 0,
    write: 0,
  };
  /** All images that are made. */
  images: readonly SyntheticImage[] = [];
  readonly #parts: RunParts;
  readonly #ddim: Ddim;
  #skip: SkipGradient | undefined;
  #boundary: Boundary | null = null;
  readonly #limit: BatchLimit;
  /** Conditions by prompt. */
  readonly #conditions: Map<string, Float32Array<ArrayBuffer>> = new Map();

  constructor(parts: RunParts) {
    this.#parts = parts;
    this.#limit = new BatchLimit(
      Math.min(parts.batch, parts.items.length),
      "images",
      parts.onWarning,
    );
    const { steps, strength } = parts.settings;
    const fromNoise = parts.items[0]!.source === null;
    this.#ddim = new Ddim(parts.diffusion.info.scheduler, {
      steps,
      strength: fromNoise ? 1 : strength,
    });
  }

  /** Images at a time; less than was asked for when they did not fit in memory. */
  get batch(): number {
    return this.#limit.size;
  }

  /** Scores of all source images; undefined where there are none. */
  async score(
    image: (index: number) => RgbImage | undefined,
  ): Promise<ImageScores | undefined> {
    const { items, onProgress, signal } = this.#parts;
    if (items[0]!.source === null) return undefined;
    const energy: number[] = [];
    const msp: number[] = [];
    for (let start = 0; start < items.length;) {
      signal?.throwIfAborted();
      const size = Math.min(this.batch, items.length - start);
      const images = Array.from({ length: size }, (_, i) => image(start + i)!);
      const scores = await this.#fitting(
        size,
        () => this.#timed("score", async () => await (await this.#gradients()).score(images)),
      );
      // The batch is smaller now and is cut anew.
      if (scores === undefined) continue;
      this.#requireScores(scores.energy, start);
      energy.push(...scores.energy);
      msp.push(...scores.msp);
      start += size;
      onProgress?.("score", start, items.length);
    }
    return { energy, msp };
  }

  /** Makes what is not made yet. */
  async generate(generation: Generation): Promise<readonly SyntheticImage[]> {
    const { done, boundary } = generation;
    const { items, batch: asked, diffusion, onProgress } = this.#parts;
    const images = [...done];
    this.images = images;
    this.#boundary = boundary;
    if (boundary !== null) this.#skip?.setBoundary(boundary);
    onProgress?.("generate", images.length, items.length);
    // Batches are cut from the beginning of the work, so that a resumed run cuts the same ones.
    const first = images.length - images.length % asked;
    const starts = Array.from(
      { length: Math.ceil((items.length - first) / asked) },
      (_, i) => first + i * asked,
    );
    const perSegment = this.#batchesHeld();
    for (let at = 0; at < starts.length; at += perSegment) {
      const prepared = await this.#prepare(starts.slice(at, at + perSegment), generation);
      for (const part of prepared) {
        const made = await this.#makeFitting(part);
        const lines = this.#linesOf(part, { made, generation });
        const fresh = Math.max(0, images.length - part.start);
        await this.#timed("write", async () => {
          for (let i = fresh; i < part.count; i++) {
            await this.#parts.store.writeImage(lines[i]!.synthetic, made.images[i]!);
          }
          await this.#parts.store.append(lines.slice(fresh));
        });
        images.push(...lines.slice(fresh));
        onProgress?.("generate", images.length, items.length);
      }
      await diffusion.close("unet");
    }
    return images;
  }

  /** Gives memory back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#skip?.[Symbol.dispose]();
    this.#skip = undefined;
    await this.#parts.diffusion.close();
  }

  /** How many batches' conditions and latents are held at a time. */
  #batchesHeld(): number {
    const { diffusion: { info, contextLength }, batch } = this.#parts;
    const { channels, height, width } = info.latents;
    const numbers = channels * height * width + contextLength * (info.context.width ?? 1024);
    return Math.max(1, Math.floor(HELD_BYTES / (4 * numbers * batch)));
  }

  /** Conditions and latents of some batches; the encoders are closed behind it. */
  async #prepare(starts: readonly number[], { image }: Generation): Promise<Prepared[]> {
    const { items, diffusion, signal, batch } = this.#parts;
    const countOf = (start: number) => Math.min(batch, items.length - start);
    this.#conditions.clear();
    await this.#timed("text", async () => {
      const prompts = starts.flatMap((start) =>
        items.slice(start, start + countOf(start)).map(({ prompt }) => prompt)
      );
      // One by one, so that a prompt's numbers do not depend on what is encoded beside it.
      for (const prompt of new Set(["", ...prompts])) {
        signal?.throwIfAborted();
        this.#conditions.set(prompt, await diffusion.encodeTexts([prompt]));
      }
    });
    await diffusion.close("text_encoder");
    const prepared = await this.#timed("encode", async () => {
      await diffusion.everything();
      const parts: Prepared[] = [];
      for (const start of starts) {
        signal?.throwIfAborted();
        const count = countOf(start);
        const sources = Array.from({ length: count }, (_, i) => image(start + i));
        const latents = sources[0] === undefined
          ? undefined
          : await diffusion.encodeImages(sources as RgbImage[]);
        parts.push({ start, count, latents });
      }
      return parts;
    });
    await diffusion.close("vae_encoder");
    return prepared;
  }

  /** A batch, in parts where it does not fit in memory. */
  async #makeFitting(prepared: Prepared): Promise<Made> {
    const made: Made[] = [];
    const { start, count, latents } = prepared;
    for (let at = 0; at < count;) {
      const size = Math.min(this.batch, count - at);
      const stride = latents === undefined ? 0 : latents.length / count;
      const part = {
        start: start + at,
        count: size,
        latents: latents?.slice(at * stride, (at + size) * stride),
      };
      const result = await this.#fitting(size, () => this.#make(part));
      if (result === undefined) continue;
      made.push(result);
      at += size;
    }
    const rounds = <K extends "loss" | "energy" | "msp">(key: K) =>
      made[0]![key].map((_, round) => made.flatMap((part) => part[key][round]!));
    return {
      images: made.flatMap(({ images }) => images),
      loss: rounds("loss"),
      energy: rounds("energy"),
      msp: rounds("msp"),
    };
  }

  /** Does a task of some images; when it needs too much memory, batches become smaller. */
  async #fitting<T>(images: number, task: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await task();
      this.#limit.worked();
      return result;
    } catch (error) {
      this.#limit.halve(images, error);
      // What is open may hold memory, and fail from now on.
      this.#skip?.[Symbol.dispose]();
      this.#skip = undefined;
      await this.#parts.diffusion.close();
      return undefined;
    }
  }

  async #make(part: Prepared): Promise<Made> {
    const { diffusion, settings, signal } = this.#parts;
    const { scalingFactor } = diffusion.info;
    const noise = this.#noise(part);
    const context = this.#contextOf(part);
    const rounds = denoisingsOf(
      part.latents === undefined ? { iterations: 0, count: "paper" } : settings,
    );
    const loss: (readonly number[])[] = [];
    const energy: (readonly number[])[] = [];
    const msp: (readonly number[])[] = [];
    const keep = (scores: ImageScores & { readonly loss: readonly number[] }) => {
      loss.push(scores.loss);
      energy.push(scores.energy);
      msp.push(scores.msp);
    };
    for (let round = 1;; round++) {
      const latents = part.latents === undefined
        ? noise.slice()
        : this.#ddim.addNoise(part.latents, noise);
      await this.#timed("denoise", () =>
        diffusion.denoise({
          latents,
          context,
          unconditional: this.#conditions.get("")!,
          guidance: settings.guidance,
          ddim: this.#ddim,
          signal,
        }));
      for (let i = 0; i < latents.length; i++) latents[i]! /= scalingFactor;
      const skip = await this.#gradients();
      if (round === rounds) {
        const images = await this.#timed("decode", () => skip.decode(latents));
        const scores = await this.#timed("score", () => skip.score(images));
        this.#requireScores(scores.energy, part.start);
        keep(scores);
        return { images, loss, energy, msp };
      }
      const found = await this.#timed("gradient", () => skip.gradient(latents));
      this.#requireScores(found.energy, part.start);
      keep(found);
      this.#move(noise, found.gradient, part.start);
    }
  }

  /** Eq. 10, with a step for each image. */
  #move(noise: Float32Array<ArrayBuffer>, gradient: Float32Array, start: number): void {
    const { settings: { rate, gradientBy }, diffusion: { info }, items } = this.#parts;
    const step = gradientBy === "vae" ? rate : rate / info.scalingFactor;
    const { channels, height, width } = info.latents;
    for (let i = 0; i < noise.length; i++) {
      const slope = gradient[i]!;
      if (!Number.isFinite(slope)) {
        const item = items[start + Math.floor(i / (channels * height * width))]!;
        throw new UserError(
          `Cannot move the noise of "${
            item.source ?? item.path
          }": its gradient holds ${slope}; check ` +
            `the decoder and the recognition model`,
        );
      }
      noise[i] = noise[i]! - step * slope;
    }
  }

  #noise({ start, count }: Prepared): Float32Array<ArrayBuffer> {
    const { settings: { seed }, diffusion: { info }, items } = this.#parts;
    const { channels, height, width } = info.latents;
    const size = channels * height * width;
    const noise = new Float32Array(count * size);
    for (let image = 0; image < count; image++) {
      const rng = new Rng(imageSeed(items[start + image]!, seed));
      for (let i = 0; i < size; i++) noise[image * size + i] = rng.normal();
    }
    return noise;
  }

  #contextOf({ start, count }: Prepared): Float32Array<ArrayBuffer> {
    const rows = this.#parts.items.slice(start, start + count)
      .map(({ prompt }) => this.#conditions.get(prompt)!);
    const context = new Float32Array(count * rows[0]!.length);
    rows.forEach((row, i) => context.set(row, i * row.length));
    return context;
  }

  async #gradients(): Promise<SkipGradient> {
    if (this.#skip !== undefined) return this.#skip;
    const { diffusion, classifier, ctx, settings } = this.#parts;
    const skip = new SkipGradient(ctx, {
      decoder: await diffusion.decoderModel(),
      latents: diffusion.info.latents,
      image: diffusion.info.image,
      classifier: classifier.model,
      inspection: classifier.inspection,
      loss: settings.loss,
      temperature: settings.temperature,
      batch: this.batch,
    });
    if (this.#boundary !== null) skip.setBoundary(this.#boundary);
    this.#skip = skip;
    return skip;
  }

  #requireScores(energy: readonly number[], start: number): void {
    const wrong = energy.findIndex((value) => !Number.isFinite(value));
    if (wrong < 0) return;
    const item = this.#parts.items[start + wrong]!;
    throw new UserError(
      `Cannot use "${this.#parts.classifier.model.name}": it gives an energy of ${
        energy[wrong]
      } for ` +
        `"${item.source ?? item.path}"; check the model and its preprocessing`,
    );
  }

  #linesOf(
    { start, count }: Prepared,
    { made, generation: { scores, boundary } }: {
      readonly made: Made;
      readonly generation: Generation;
    },
  ): SyntheticImage[] {
    const { items, settings } = this.#parts;
    return Array.from({ length: count }, (_, i) => {
      const { source, label, class: name, elements, prompt, path } = items[start + i]!;
      const course = (key: "energy" | "msp") => ({
        before: scores === undefined ? null : scores[key][start + i]!,
        after: made[key].map((round) => round[i]!),
      });
      const [energy, msp] = [course("energy"), course("msp")];
      const crossed = boundary === null ? null : energy.after.at(-1)! < boundary.energy;
      const kept = settings.filter === "none" ||
        (settings.filter === "energy" ? crossed === true : msp.after.at(-1)! < boundary!.msp);
      return {
        source,
        synthetic: `${kept ? "images" : "rejected"}/${path}`,
        label,
        class: name,
        elements,
        prompt,
        seed: imageSeed(items[start + i]!, settings.seed),
        loss: made.loss.map((round) => round[i]!),
        energy,
        msp,
        crossed,
        kept,
      };
    });
  }

  async #timed<T>(stage: keyof SynthesisSeconds, task: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await task();
    } finally {
      this.seconds[stage] += (performance.now() - begin) / 1000;
    }
  }
}
