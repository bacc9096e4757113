import { asBalsaError, BalsaError } from '../base/errors.js';
import { WatchedChanges } from './changes.js';
import type { Codec } from './codec.js';
import { Engine } from './engine.js';
import type { Environment } from './environment.js';
import { Client } from './kv-client.js';
import { LeaseKeeper } from './lease.js';
import { type ConnectOptions, invalid, type KeyForm, toSettings } from './options.js';
import { ReadRouter } from './read-router.js';
import { Scope } from './scope.js';

const NO_PREFIX = new Uint8Array(0);

/**
 * Connects over the network, clock and chance that are given: what {@link connect} does with those of
 * this machine, and the simulator with its own.
 *
 * @throws BalsaError see {@link connect}
 */
export async function openClient<In, Out, Keys extends KeyForm>(
  options: ConnectOptions<In, Out, Keys> & { readonly codec: Codec<In, Out> },
  environment: Environment,
): Promise<Client<In, Out, Keys>> {
  const { codec, keys = 'text' } = options;
  if (keys !== 'text' && keys !== 'bytes') throw invalid("keys must be 'text' or 'bytes'");
  const engine = new Engine(environment, toSettings(options));
  try {
    await engine.connect();
  } catch (error) {
    engine.close();
    throw ofToken(asBalsaError(error), options.token);
  }
  const reads = new ReadRouter(engine);
  const scope = new Scope<In, Out, Keys>({ engine, reads, codec, keys, prefix: NO_PREFIX });
  const shared = { leases: new LeaseKeeper(engine), changes: new WatchedChanges(scope) };
  return new Client<In, Out, Keys>(scope, shared);
}

/** Whoever gave a token and no cluster is told which of them it is about. */
function ofToken(error: BalsaError, token: string | undefined): BalsaError {
  if (token === undefined || error.code !== 'CLUSTER_MISMATCH') return error;
  return new BalsaError(
    error.code,
    `the session token ${token} is of another cluster: ${error.message}`,
    {
      cause: error,
    },
  );
}
