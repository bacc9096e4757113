import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { MemberAddress, ReplicaStatus } from '../../rpc/protocol.js';
import { ownConnection, reasonOf } from '../ask-replica.js';
import type { Context } from '../context.js';
import type { StoreClient } from '../store-client.js';

/** A replica that is silent for so long is left out: the others have their lines, too. */
const ANSWER_MS_MAX = 2000;

/** One replica, asked over a connection of its own; a lost one is made anew for the next question. */
export class ReplicaLink {
  readonly address: string;
  readonly #context: Context;
  /** Its name as far as it is known, else its address. */
  name: string;
  /** Of its disk; `null`: it has never answered. */
  incarnation: string | null = null;
  #client: Promise<StoreClient> | null = null;

  constructor(context: Context, address: string, name: string) {
    this.#context = context;
    this.address = address;
    this.name = name;
  }

  /** @throws BalsaError what the replica says, or why it does not answer */
  async ask<T>(question: (client: StoreClient, limits: AskLimits) => Promise<T>): Promise<T> {
    const { signal, options } = this.#context;
    const timeoutMs = Math.min(options.timeout || ANSWER_MS_MAX, ANSWER_MS_MAX);
    this.#client ??= this.#context.connect(ownConnection(this.#context, this.address));
    const mine = this.#client;
    try {
      return await question(await mine, { timeoutMs, signal });
    } catch (error) {
      if (this.#client === mine) await this.close();
      if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted', { cause: error });
      throw asBalsaError(error);
    }
  }

  /** What it says of itself; its name is known then. */
  async status(): Promise<ReplicaStatus> {
    const status = await this.ask((client, limits) => client.status(limits));
    this.name = status.replica;
    this.incarnation = status.incarnation;
    return status;
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    // One that could not be opened needs no closing; whoever asked was told why.
    const open = await client?.catch(() => null);
    await open?.close();
  }

  /** `n2: UNREACHABLE, ECONNREFUSED` */
  failureText(error: BalsaError): string {
    return `${this.name}: ${error.code}, ${reasonOf({ address: this.address, error })}`;
  }
}

interface AskLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export type Answered<T> =
  | { readonly link: ReplicaLink; readonly answer: T }
  | { readonly link: ReplicaLink; readonly error: BalsaError };

/** Every replica of the cluster: those at the endpoints, and the members that they name. */
export class Replicas implements AsyncDisposable {
  readonly #context: Context;
  #links: readonly ReplicaLink[] = [];

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Gets to know all of them.
   * @throws BalsaError `UNREACHABLE`: none answers; `CANCELLED`
   */
  async open(): Promise<void> {
    const { endpoints } = this.#context.options;
    this.#links = endpoints.map((address) => new ReplicaLink(this.#context, address, address));
    const answers = await this.#takeIn();
    if (answers.every((one) => 'error' in one)) throw nobodyAnswers(answers);
  }

  /** Looks who is a member now. */
  async look(): Promise<void> {
    const answers = await this.#takeIn();
    const members = membersOf(answers);
    const gone = answers.filter(
      (one) =>
        'error' in one &&
        members.every(
          ({ name, address }) => name !== one.link.name && address !== one.link.address,
        ),
    );
    if (members.length > 0) await this.#forget(gone.map(({ link }) => link));
  }

  /** Asks each, all at once. */
  askAll<T>(question: (link: ReplicaLink) => Promise<T>): Promise<readonly Answered<T>[]> {
    return Promise.all(this.#links.map((link) => askOne(link, question)));
  }

  async close(): Promise<void> {
    await this.#forget(this.#links);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Asks all that are known who they are, then those that they name. */
  async #takeIn(): Promise<readonly Answered<ReplicaStatus>[]> {
    const status = (link: ReplicaLink): Promise<ReplicaStatus> => link.status();
    const answers = await this.askAll(status);
    const added: ReplicaLink[] = [];
    for (const { name, address } of membersOf(answers)) {
      const known = [...this.#links, ...added].find((link) => link.address === address);
      if (known === undefined) added.push(new ReplicaLink(this.#context, address, name));
      else if (known.name === known.address) known.name = name;
    }
    await Promise.all(added.map((link) => askOne(link, status)));
    this.#links = [...this.#links, ...added];
    // One replica may be known by several addresses.
    const names = this.#links.map(({ incarnation }) => incarnation);
    await this.#forget(
      this.#links.filter(
        ({ incarnation }, i) => incarnation !== null && names.indexOf(incarnation) < i,
      ),
    );
    if (this.#context.signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
    return answers;
  }

  async #forget(links: readonly ReplicaLink[]): Promise<void> {
    this.#links = this.#links.filter((link) => !links.includes(link));
    await Promise.all(links.map((link) => link.close()));
  }
}

function membersOf(answers: readonly Answered<ReplicaStatus>[]): readonly MemberAddress[] {
  return answers.flatMap((one) => ('answer' in one ? one.answer.members : []));
}

function askOne<T>(
  link: ReplicaLink,
  question: (link: ReplicaLink) => Promise<T>,
): Promise<Answered<T>> {
  return question(link).then(
    (answer) => ({ link, answer }),
    (error: unknown) => ({ link, error: asBalsaError(error) }),
  );
}

function nobodyAnswers(answers: readonly Answered<unknown>[]): BalsaError {
  const reasons = answers.map((one) => {
    const { address } = one.link;
    return 'error' in one ? `${address}: ${reasonOf({ address, error: one.error })}` : address;
  });
  return new BalsaError('UNREACHABLE', `no endpoint answers: ${reasons.join('; ')}`);
}
