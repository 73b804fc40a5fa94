/**
 * A server that answers as a vision-language model's would, or as badly as a test wants it.
 *
 * @module
 */

/** A question that came in. */
export interface Asked {
  /** Its number, from 0. */
  readonly number: number;
  /** The path that it was posted to. */
  readonly path: string;
  /** The question's text. */
  readonly question: string;
  /** The image as it was sent. */
  readonly image: string;
  /** The request's fields. */
  readonly body: Readonly<Record<string, unknown>>;
  /** What was sent as authorisation. */
  readonly authorization: string | null;
  /** How many questions were under way, this one included. */
  readonly underWay: number;
  /** When it came, in milliseconds. */
  readonly time: number;
}

/** What a model says, as the API gives it. */
export function says(content: unknown): Response {
  return Response.json({ choices: [{ message: { role: "assistant", content } }] });
}

/** A server on this machine. */
export class VisionServer implements AsyncDisposable {
  /** Every question that came in, in order. */
  readonly asked: Asked[] = [];
  readonly #stop = new AbortController();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #underWay = 0;

  /** @param answer What it answers; a promise that is never fulfilled hangs until the end. */
  constructor(answer: (asked: Asked) => Response | Promise<Response>) {
    const handler = async (request: Request): Promise<Response> => {
      this.#underWay++;
      const body = await request.json();
      const [text, picture] = body.messages[0].content;
      const asked = {
        number: this.asked.length,
        path: new URL(request.url).pathname,
        question: text.text,
        image: picture.image_url.url,
        body,
        authorization: request.headers.get("authorization"),
        underWay: this.#underWay,
        time: performance.now(),
      };
      this.asked.push(asked);
      try {
        return await answer(asked);
      } finally {
        this.#underWay--;
      }
    };
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, signal: this.#stop.signal, onListen() {} },
      handler,
    );
  }

  /** Its address. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** How often each image was asked about. */
  get perImage(): number[] {
    const counts = new Map<string, number>();
    for (const { image } of this.asked) counts.set(image, (counts.get(image) ?? 0) + 1);
    return [...counts.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#server.finished;
  }
}

/** A server that reads a question and answers with bytes of its own, then hangs up. */
export class RawServer implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #done: Promise<void>;
  /** How many connections there were. */
  connections = 0;

  /** @param answer The bytes, as text. */
  constructor(answer: string) {
    this.#done = this.#serve(new TextEncoder().encode(answer));
  }

  async #serve(answer: Uint8Array): Promise<void> {
    for await (const connection of this.#listener) {
      this.connections++;
      try {
        await connection.read(new Uint8Array(1 << 20));
        if (answer.length > 0) await connection.write(answer);
      } finally {
        connection.close();
      }
    }
  }

  /** Its address. */
  get url(): string {
    return `http://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#done.catch(() => {});
  }
}

/** The address of a port that nobody listens to. */
export function deafAddress(): string {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return `http://127.0.0.1:${port}`;
}
