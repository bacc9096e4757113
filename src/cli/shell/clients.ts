import type { NamespaceRef } from '../../client/client.js';
import type { StoreClient, StoreOptions } from '../store-client.js';

type Connect = (options: StoreOptions) => Promise<StoreClient>;

/** Connections that are kept open at a time: one for each combination of options that is in use. */
const CLIENTS_MAX = 4;

/** Keeps clients open from one command to the next, so that commands share connection and session. */
export class ShellClients {
  readonly #connect: Connect;
  readonly #clients = new Map<string, StoreClient>();

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  connect: Connect = async (options) => {
    // Whoever stays at one replica (--stay, status, snapshot save) wants a connection of its own.
    if (!options.followLeader) return await this.#connect(options);
    const name = JSON.stringify(options);
    const known = this.#clients.get(name);
    if (known !== undefined) return keptOpen(known);
    const client = await this.#connect(options);
    const raced = this.#clients.get(name);
    if (raced !== undefined) {
      await client.close();
      return keptOpen(raced);
    }
    this.#clients.set(name, client);
    const [oldest] = this.#clients;
    if (this.#clients.size > CLIENTS_MAX && oldest !== undefined) {
      this.#clients.delete(oldest[0]);
      await oldest[1].close();
    }
    return keptOpen(client);
  };

  async close(): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    await Promise.all(clients.map((client) => client.close()));
  }
}

/** The same client, which its user cannot close. */
function keptOpen(client: StoreClient): StoreClient {
  return new Proxy(client, {
    get(target, name) {
      if (name === 'close') return () => Promise.resolve();
      if (name === 'namespace') {
        return (namespace: NamespaceRef) => keptOpen(target.namespace(namespace));
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
