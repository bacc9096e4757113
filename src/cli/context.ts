import { type Command, Option } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { ConsistencyOption, NamespaceRef } from '../client/client.js';
import { CONSISTENCY_FORM, parseConsistency, parseEndpoints, parseTimeoutMs } from './flags.js';
import type { CliIo } from './io.js';
import { parseKey } from './key-argument.js';
import { FORMATS, type Format, Output } from './output.js';
import type { StoreClient, StoreOptions } from './store-client.js';

const ENDPOINTS_DEFAULT = ['127.0.0.1:7001', '127.0.0.1:7002', '127.0.0.1:7003'];
const TIMEOUT_DEFAULT_MS = 5000;

/** The options that every command takes. */
export interface GlobalOptions {
  readonly output?: Format;
  readonly endpoints: readonly string[];
  /** Only the first endpoint that answers is asked. */
  readonly stay?: boolean;
  /** In milliseconds; 0: none. */
  readonly timeout: number;
  /** Absent: `linearizable`, also with a token. */
  readonly consistency?: ConsistencyOption;
  /** Session token: `session` reads see what its owner had seen. */
  readonly token?: string;
  /** Name of a namespace, or `prefix:` and what its keys begin with. */
  readonly namespace?: string;
}

export function addGlobalOptions(program: Command): void {
  program
    .addOption(
      new Option(
        '-o, --output <format>',
        'form of the result; default: table on a terminal, raw in a pipe',
      ).choices(FORMATS),
    )
    .addOption(
      new Option('--endpoints <host:port,...>', 'where the replicas are')
        .argParser(parseEndpoints)
        .default(ENDPOINTS_DEFAULT, ENDPOINTS_DEFAULT.join(',')),
    )
    .option('--stay', 'ask the first of the endpoints that answers, and no other replica')
    .addOption(
      new Option('--timeout <duration>', 'limit of connecting and of each request; 0: none')
        .argParser(parseTimeoutMs)
        .default(TIMEOUT_DEFAULT_MS, '5s'),
    )
    .addOption(
      new Option('--consistency <level>', `of reads: ${CONSISTENCY_FORM}`).argParser(
        parseConsistency,
      ),
    )
    .addOption(
      new Option(
        '--token <token>',
        'with --consistency session reads see what it stands for (meta.token of -o json)',
      ),
    )
    .addOption(
      new Option(
        '--namespace <name>',
        'work in this namespace: keys begin with NAME/; or prefix:TEXT',
      ),
    );
}

/** What a command works with: its world, the options that all commands take, its output. */
export class Context {
  readonly io: CliIo;
  readonly options: GlobalOptions;
  readonly output: Output;

  constructor(io: CliIo, options: GlobalOptions) {
    this.io = io;
    this.options = options;
    this.output = new Output(io, options.output);
  }

  /** For every call, so that Ctrl-C ends it. */
  get signal(): AbortSignal {
    return this.io.interrupted;
  }

  /** How fresh reads are. */
  get consistency(): ConsistencyOption {
    return this.options.consistency ?? 'linearizable';
  }

  /** Runs `use` with a client, which is closed in the end. */
  async withClient<T>(
    use: (client: StoreClient) => Promise<T>,
    overrides: Partial<StoreOptions> = {},
  ): Promise<T> {
    const client = await this.connect(overrides);
    try {
      return await use(client);
    } finally {
      await client.close();
    }
  }

  async connect(overrides: Partial<StoreOptions> = {}): Promise<StoreClient> {
    const { endpoints, timeout, namespace, stay = false } = this.options;
    const connecting = this.io.connect({
      endpoints,
      timeoutMs: timeout,
      connectTimeoutMs: timeout,
      consistency: this.consistency,
      token: this.options.token,
      followLeader: !stay,
      clientName: 'balsa-cli',
      ...overrides,
    });
    const client = await orInterrupted(connecting, this.signal);
    return namespace === undefined ? client : client.namespace(namespaceRef(namespace));
  }
}

/** A namespace with a prefix of its own is named by that. */
function namespaceRef(text: string): NamespaceRef {
  return text.startsWith('prefix:') ? { prefix: parseKey(text.slice('prefix:'.length)) } : text;
}

/** The client, or `CANCELLED` at Ctrl-C; a client that comes too late is closed. */
async function orInterrupted(
  connecting: Promise<StoreClient>,
  signal: AbortSignal,
): Promise<StoreClient> {
  const listening = new AbortController();
  const interruption = new Promise<never>((_, reject) => {
    const onAbort = () => reject(new BalsaError('CANCELLED', 'interrupted'));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true, signal: listening.signal });
  });
  try {
    return await Promise.race([connecting, interruption]);
  } catch (error) {
    // Whether connecting went on to fail does not matter to somebody who has left.
    if (signal.aborted) connecting.then((client) => client.close()).catch(() => undefined);
    throw error;
  } finally {
    listening.abort();
  }
}
