/**
 * What a command writes: results to stdout, everything else to stderr, progress as a bar on a
 * terminal and as plain lines elsewhere.
 *
 * @module
 */

const encoder = new TextEncoder();
const BAR_CELLS = 24;
const REDRAW_MS = 100;
const LINE_MS = 5000;

/** Where text goes. */
export interface TextSink {
  /** Whether a person looks at it. */
  readonly isTerminal: boolean;
  /** Writes text as it is. */
  write(text: string): void;
}

/** The process's own streams. */
export function processSink(stream: typeof Deno.stdout | typeof Deno.stderr): TextSink {
  return {
    isTerminal: stream.isTerminal(),
    write(text) {
      let bytes = encoder.encode(text);
      while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
    },
  };
}

/** The two streams of a command, and its progress bars. */
export class Terminal {
  readonly #out: TextSink;
  readonly #notes: TextSink;

  /**
   * @param out Results.
   * @param notes Everything else.
   */
  constructor(out: TextSink, notes: TextSink) {
    this.#out = out;
    this.#notes = notes;
  }

  /** Whether results go to a person. */
  get isTerminal(): boolean {
    return this.#out.isTerminal;
  }

  /** Writes a line of the result. */
  print(text: string): void {
    this.#out.write(`${text}\n`);
  }

  /** Writes a machine-readable result. */
  printJson(value: unknown): void {
    this.print(JSON.stringify(value, undefined, 2));
  }

  /** Writes a remark. */
  note(text: string): void {
    this.#notes.write(`${text}\n`);
  }

  /**
   * Begins a progress bar.
   *
   * @param label What goes on.
   * @param total Number of items; 0 when unknown.
   * @param options The unit of the rate, and a clock for tests.
   */
  progress(
    label: string,
    total: number,
    options: { unit?: string; now?: () => number } = {},
  ): Progress {
    return new Progress(this.#notes, { label, total, unit: "items", ...options });
  }
}

/** How far something is, with rate and time left. */
export class Progress implements Disposable {
  readonly #sink: TextSink;
  readonly #label: string;
  readonly #unit: string;
  readonly #now: () => number;
  readonly #started: number;
  #total: number;
  #done = 0;
  #shownAt = -Infinity;
  #finished = false;

  /**
   * @param sink Where it is shown.
   * @param options Label, total, unit and clock.
   */
  constructor(
    sink: TextSink,
    options: { label: string; total: number; unit: string; now?: () => number },
  ) {
    this.#sink = sink;
    this.#label = options.label;
    this.#total = options.total;
    this.#unit = options.unit;
    this.#now = options.now ?? (() => performance.now());
    this.#started = this.#now();
    // Pipes get a line only once something has taken a while.
    if (!sink.isTerminal) this.#shownAt = this.#started;
  }

  /** Sets how many items are done, and how many there are in all when that is known now. */
  update(done: number, total: number = this.#total): void {
    this.#done = done;
    this.#total = total;
    const interval = this.#sink.isTerminal ? REDRAW_MS : LINE_MS;
    if (this.#now() - this.#shownAt >= interval) this.#show();
  }

  /** Shows the final state and ends the line. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#now() - this.#started < 1000 && !this.#sink.isTerminal) return;
    this.#show();
    if (this.#sink.isTerminal) this.#sink.write("\n");
  }

  /** Ends the line when an error interrupts the work. */
  [Symbol.dispose](): void {
    this.finish();
  }

  #show(): void {
    this.#shownAt = this.#now();
    const seconds = (this.#shownAt - this.#started) / 1000;
    const rate = this.#done / Math.max(seconds, 1e-3);
    const known = this.#total > 0;
    const count = known ? `${this.#done}/${this.#total}` : `${this.#done}`;
    const parts = [`${count} ${this.#unit}`, `${formatRate(rate)}/s`];
    if (this.#finished) parts.push(formatDuration(seconds));
    else if (known && rate > 0) {
      parts.push(`${formatDuration((this.#total - this.#done) / rate)} left`);
    }
    const text = parts.join(", ");
    if (!this.#sink.isTerminal) {
      this.#sink.write(`${this.#label}: ${text}\n`);
      return;
    }
    const share = known ? Math.min(1, this.#done / this.#total) : 1;
    const cells = Math.round(share * BAR_CELLS);
    const bar = "█".repeat(cells) + "░".repeat(BAR_CELLS - cells);
    this.#sink.write(`\r\x1b[2K${this.#label} ${bar} ${text}`);
  }
}

function formatRate(rate: number): string {
  if (rate >= 100) return rate.toFixed(0);
  return rate >= 1 ? rate.toFixed(1) : rate.toPrecision(2);
}

/** A duration as people say it: `0.4 s`, `12 s`, `3 min 05 s`. */
export function formatDuration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}
