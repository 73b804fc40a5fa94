/**
 * One question with an image to an OpenAI-compatible endpoint: the request, its time-out, second
 * tries, and a sentence for everything that can go wrong.
 *
 * @module
 */

import { Rng } from "../../kernels/random/rng.ts";
import { UserError } from "../../runtime/mod.ts";

/** Longest wait before a try that is not asked for, in seconds. */
const MAX_BACKOFF = 60;
/** Longest wait that a server may ask for, in seconds. */
const MAX_RETRY_AFTER = 600;
/** Bytes that an answer may have. */
const MAX_ANSWER = 4 * 1024 * 1024;
/** Letters of a server's own words that are passed on. */
const MAX_QUOTED = 200;
/** What a server says of one request, and not of all: others may do better. */
const OWN_STATUS: ReadonlySet<number> = new Set([400, 413, 415, 422, 451]);

/** Where questions go, and how patiently. */
export interface ChatSettings {
  /** The address of an OpenAI-compatible API. */
  readonly endpoint: string;
  /** The key that is sent along; it is never told. */
  readonly key?: string | undefined;
  /** Name of the environment variable that holds it, for messages. */
  readonly keyName?: string | undefined;
  /** Seconds for one try. */
  readonly timeout: number;
  /** Tries after the first. */
  readonly retries: number;
  /** Seconds before the second try; each further one waits twice as long. */
  readonly backoff: number;
  /** Seed of what waits vary by. */
  readonly seed: number;
  /** Stops everything. */
  readonly signal?: AbortSignal | undefined;
}

/** An endpoint gave no answer about an image. */
export class EndpointError extends UserError {
  /** The class's name, as shown by consoles. */
  override name: string = "EndpointError";
  /** Why, without the endpoint's and the image's name. */
  readonly reason: string;
  /** Whether there may be answers about other images. */
  readonly isOwn: boolean;

  /**
   * Says who was asked about what, and why there is no answer.
   *
   * @param about The endpoint and the image.
   * @param fault What went wrong.
   */
  constructor(
    about: { readonly endpoint: string; readonly image: string },
    fault: { readonly reason: string; readonly isOwn: boolean },
  ) {
    super(`Cannot ask "${about.endpoint}" about "${about.image}": ${fault.reason}`);
    this.reason = fault.reason;
    this.isOwn = fault.isOwn;
  }
}

/** Why a try failed. */
interface Fault {
  readonly why: string;
  /** What follows the number of tries. */
  readonly more?: string;
  /** Whether another try may succeed. */
  readonly again: boolean;
  /** Whether other images may fare better. */
  readonly isOwn?: boolean;
  /** Seconds that the server asks to wait. */
  readonly wait?: number | undefined;
}

/** The address that questions are posted to. */
export function chatAddress(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === "") {
    throw new UserError(
      `Cannot use the endpoint "${endpoint}": an address such as http://127.0.0.1:8080/v1 was expected`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new UserError(
      "Cannot use an endpoint with a name or a password in its address: a key comes from an " +
        "environment variable",
    );
  }
  const path = url.pathname.replace(/\/+$/, "");
  if (path.endsWith("/chat/completions")) url.pathname = path;
  else if (/\/v\d+$/.test(path)) url.pathname = `${path}/chat/completions`;
  else url.pathname = `${path}/v1/chat/completions`;
  return url;
}

/** Refuses to ask where Deno may not; nobody is asked for a permission. */
export async function requireNet(endpoint: string): Promise<void> {
  const url = chatAddress(endpoint);
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const host = `${url.hostname}:${port}`;
  const { state } = await Deno.permissions.query({ name: "net", host });
  if (state === "granted") return;
  throw new UserError(
    `Cannot ask "${
      shownAddress(url)
    }": Deno was started without the permission to reach ${host}; ` +
      `start it with --allow-net=${host}, or run "deno task synood:contexts"`,
  );
}

/** An address without what stands behind a question mark, which may be a key. */
export function shownAddress(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** Asks an endpoint, several questions at a time if wanted. */
export class Chat {
  /** The endpoint's name for messages. */
  readonly name: string;
  readonly #url: URL;
  readonly #settings: ChatSettings;
  /** Whether anybody has answered yet: before that, a refused connection is a mistake. */
  #hasAnswered = false;
  /** When the server wants to hear of us again, in milliseconds. */
  #notBefore = 0;

  /** @param settings Where questions go, and how patiently. */
  constructor(settings: ChatSettings) {
    this.#url = chatAddress(settings.endpoint);
    this.name = shownAddress(this.#url);
    this.#settings = settings;
  }

  /**
   * Asks, and asks again while that may help.
   *
   * @param body The request.
   * @param about The image's name and its number, by which waits vary.
   * @returns What the model says; empty when it says nothing.
   * @throws {EndpointError} When there is no answer.
   */
  async ask(
    body: Readonly<Record<string, unknown>>,
    about: { readonly image: string; readonly index: number },
  ): Promise<string> {
    const { retries, backoff, seed, signal } = this.#settings;
    const text = JSON.stringify(body);
    const rng = new Rng(seed, about.index);
    for (let tries = 1;; tries++) {
      await pause(this.#notBefore - Date.now(), signal);
      const result = await this.#try(text);
      if (typeof result === "string") {
        this.#hasAnswered = true;
        return result;
      }
      const { again, isOwn = false, wait = 0 } = result;
      if (!again || tries > retries || wait > MAX_RETRY_AFTER) {
        const names = { endpoint: this.name, image: about.image };
        throw new EndpointError(names, { reason: reasonOf(result, tries), isOwn });
      }
      // A server that asks to wait asks all of us.
      if (wait > 0) this.#notBefore = Math.max(this.#notBefore, Date.now() + 1000 * wait);
      await pause(1000 * secondsBefore(tries, { backoff, rng }), signal);
    }
  }

  /** One try: what the model says, or what went wrong. */
  async #try(body: string): Promise<string | Fault> {
    const { key, timeout, signal } = this.#settings;
    const clock = AbortSignal.timeout(1000 * timeout);
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: {
          "accept": "application/json",
          "content-type": "application/json",
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        },
        body,
        // Another host might want a permission, and must not get the key.
        redirect: "manual",
        signal: signal === undefined ? clock : AbortSignal.any([clock, signal]),
      });
      const text = await limitedText(response);
      if (text === undefined) {
        return { why: "its answer is longer than 4 MiB", again: false, isOwn: true };
      }
      return response.ok ? this.#content(text) : this.#refusal(response, text);
    } catch (error) {
      signal?.throwIfAborted();
      if (clock.aborted) {
        return {
          why: `there was no answer within ${timeout} s`,
          more: "; --timeout allows more",
          ...{ again: true, isOwn: true },
        };
      }
      return this.#noConnection(error);
    }
  }

  /** What an answer says. */
  #content(text: string): string | Fault {
    const value = jsonOf(text);
    if (value === undefined) {
      const what = isHtml(text) ? "HTML" : text.trim() === "" ? "nothing" : "no JSON";
      return {
        why:
          `it answered with ${what}, and JSON was expected; name an OpenAI-compatible API, such ` +
          `as ${this.#url.origin}/v1`,
        again: false,
      };
    }
    const { choices } = (value ?? {}) as { choices?: { message?: { content?: unknown } }[] };
    const message = Array.isArray(choices) ? choices[0]?.message : undefined;
    if (typeof message !== "object" || message === null) {
      const said = this.#serverWords(text);
      return { why: `its answer has no choices[0].message${said}`, again: false };
    }
    const { content } = message;
    if (typeof content === "string") return this.#withoutKey(content);
    // Some servers give texts in parts.
    const parts = Array.isArray(content) ? content as { text?: unknown }[] : [];
    const texts = parts.map((part) => typeof part?.text === "string" ? part.text : "");
    return this.#withoutKey(texts.join(""));
  }

  /** What another status than success means. */
  #refusal(response: Response, text: string): Fault {
    const { status } = response;
    const { key, keyName } = this.#settings;
    if (status === 401 || status === 403) {
      const mend = key === undefined
        ? "--key-env names the environment variable that holds a key"
        : `look at the key${keyName === undefined ? "" : ` in ${keyName}`}`;
      return { why: `access is denied (${status}); ${mend}`, again: false };
    }
    if (status >= 300 && status < 400) {
      const target = response.headers.get("location") ?? "";
      const to = URL.canParse(target, this.#url)
        ? `to "${shownAddress(new URL(target, this.#url))}"; name that address`
        : "elsewhere";
      return { why: `it sends us (${status}) ${to}`, again: false };
    }
    const said = this.#serverWords(text);
    if (status === 404) {
      return { why: `there is no such address or no such model (404)${said}`, again: false };
    }
    if (status === 429 || status === 408 || status >= 500) {
      return {
        why: `it answered ${status}`,
        more: said,
        ...{ again: true, isOwn: status >= 500 },
        wait: secondsToWait(response.headers.get("retry-after")),
      };
    }
    return {
      why: `it refuses the request (${status})${said}`,
      again: false,
      isOwn: OWN_STATUS.has(status),
    };
  }

  /** What a server says of an error, after a colon; nothing where it says it in HTML. */
  #serverWords(text: string): string {
    const value = jsonOf(text);
    const said = value === undefined ? isHtml(text) ? "" : text : messageIn(value) ?? "";
    const words = this.#withoutKey(said).replaceAll(/[\p{Cc}\s]+/gu, " ").trim()
      .replace(/\.+$/, "");
    if (words === "") return "";
    return `: ${words.length > MAX_QUOTED ? `${words.slice(0, MAX_QUOTED)}…` : words}`;
  }

  /** A text in which the key, which a server might say again, is blanked out. */
  #withoutKey(text: string): string {
    const { key } = this.#settings;
    return key === undefined ? text : text.replaceAll(key, "***");
  }

  /** What is said when nothing came back. */
  #noConnection(error: unknown): Fault {
    const text = error instanceof Error
      ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ""}`
      : String(error);
    const isConnecting = text.includes("client error (Connect)");
    // The words after the last colon are the system's.
    const detail = text.split(": ").at(-1)!.replace(/ \(os error \d+\)\s*$/, "").trim();
    const again = this.#hasAnswered;
    if (isConnecting && /connection refused|actively refused/i.test(text)) {
      return { why: "the connection is refused", more: "; does the server run", again };
    }
    if (isConnecting && text.includes("dns error")) {
      return { why: `there is no host "${this.#url.hostname}"`, again };
    }
    if (isConnecting && this.#url.protocol === "https:" && !text.includes("tcp connect error")) {
      return {
        why:
          `there is no secure connection (${detail}); a server without TLS has an address with ` +
          "http://, and DENO_CERT names a file of further certificates",
        again: false,
      };
    }
    if (isConnecting) return { why: `there is no connection (${detail})`, again };
    if (
      /error reading a body|connection (?:closed|reset)|incomplete message|broken pipe/i.test(text)
    ) {
      return { why: "the connection was cut", again: true, isOwn: true };
    }
    return { why: `the request failed (${detail})`, again };
  }
}

/** How long to wait after so many tries: twice as long each time, and not all of us at once. */
export function secondsBefore(
  tries: number,
  { backoff, rng }: { readonly backoff: number; readonly rng: Rng },
): number {
  return Math.min(MAX_BACKOFF, backoff * 2 ** (tries - 1)) * (0.5 + rng.uniform() / 2);
}

/** Why there is no answer, and how patient we were. */
function reasonOf({ why, more = "", wait = 0 }: Fault, tries: number): string {
  const asks = wait > MAX_RETRY_AFTER ? ` and asks to wait ${Math.ceil(wait)} s` : "";
  return `${why}${asks}${tries > 1 ? `, ${tries} times over` : ""}${more}`;
}

/** A wait that ends early when everything stops. */
function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  if (!(milliseconds > 0)) return Promise.resolve();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = () => {
    clearTimeout(timer);
    reject(signal!.reason);
  };
  const timer = setTimeout(() => {
    signal?.removeEventListener("abort", stop);
    resolve();
  }, milliseconds);
  signal?.addEventListener("abort", stop, { once: true });
  return promise;
}

/** The text of an answer; undefined when it is longer than one may be. */
async function limitedText(response: Response): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let [text, length] = ["", 0];
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_ANSWER) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isHtml(text: string): boolean {
  return /^\s*<(?:!doctype|html|head|body|\?xml)/i.test(text);
}

function messageIn(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return undefined;
  const { error, message, detail } = value as Record<string, unknown>;
  return messageIn(error) ?? messageIn(message) ?? messageIn(detail);
}

/** Seconds that a header asks to wait: a number, or a time. */
function secondsToWait(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const until = Date.parse(header);
  return Number.isNaN(until) ? undefined : Math.max(0, (until - Date.now()) / 1000);
}
