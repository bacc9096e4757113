import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseAddress } from '../base/address.js';
import { BalsaError } from '../base/errors.js';
import type { CoreEvent } from '../raft/types.js';
import { bindError } from './listener.js';
import type { Logger } from './log.js';
import type { Metrics, MetricsSource } from './metrics.js';

export interface MetricsEndpointOptions extends MetricsSource {
  /** `host:port`; port 0 picks a free one; empty: nowhere. */
  readonly listen: string;
  readonly log: Logger;
}

interface Page {
  readonly status: number;
  readonly text: string;
  readonly type?: string;
}

/** As the text format of Prometheus is called. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
const PATHS = '/metrics, /healthz, /readyz';
const CONNECTIONS_MAX = 64;
const REQUEST_MS_MAX = 5000;

/**
 * Says over HTTP how a replica is: `/metrics` for Prometheus, `/healthz` (the process answers) and `/readyz` (it serves). Where nobody
 * is to ask, nothing is loaded and nothing counted.
 */
export class MetricsEndpoint {
  readonly #options: MetricsEndpointOptions;
  #metrics: Metrics | null = null;
  #server: Server | null = null;

  constructor(options: MetricsEndpointOptions) {
    this.#options = options;
  }

  noted(event: CoreEvent): void {
    this.#metrics?.noted(event);
  }

  /** @throws BalsaError `PORT_IN_USE`, `ADDRESS_UNUSABLE`, `CONFIG_INVALID` */
  async open(): Promise<void> {
    const { listen, log } = this.#options;
    if (listen === '') return;
    const parsed = parseAddress(listen);
    if (!parsed.ok) throw new BalsaError('CONFIG_INVALID', `metrics-listen: ${parsed.problem}`);
    const { Metrics } = await import('./metrics.js');
    const metrics = new Metrics(this.#options);
    this.#metrics = metrics;
    const { host, port } = parsed.address;
    const server = createServer(
      (request, response) => void this.#answer(metrics, request, response),
    );
    server.maxConnections = CONNECTIONS_MAX;
    server.requestTimeout = REQUEST_MS_MAX;
    server.headersTimeout = REQUEST_MS_MAX;
    await new Promise<void>((resolve, reject) => {
      server.on('error', (error) => {
        if (this.#server === null) reject(bindError(listen, error));
        // As where descriptors are short: whoever asks next may be served again.
        else log.error({ reason: error.message }, 'the metrics could not be asked for');
      });
      server.listen({ host, port, exclusive: true }, resolve);
    });
    this.#server = server;
    const { port: bound } = server.address() as AddressInfo;
    log.info({ address: `${listen.slice(0, listen.lastIndexOf(':'))}:${bound}` }, 'metrics');
  }

  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  async #answer(
    metrics: Metrics,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const page = await this.#pageFor(metrics, request);
    const { status, text, type = 'text/plain; charset=utf-8' } = page;
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
    response.end(request.method === 'HEAD' ? undefined : text);
  }

  async #pageFor(metrics: Metrics, { method, url = '' }: IncomingMessage): Promise<Page> {
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'GET or HEAD\n' };
    switch (url.split('?')[0]) {
      case '/metrics':
        return await this.#metricsPage(metrics);
      case '/healthz':
        return { status: 200, text: 'ok\n' };
      case '/readyz':
        return this.#options.isReady()
          ? { status: 200, text: 'ok\n' }
          : { status: 503, text: 'not ready\n' };
      default:
        return { status: 404, text: `there are ${PATHS}\n` };
    }
  }

  async #metricsPage(metrics: Metrics): Promise<Page> {
    try {
      return { status: 200, text: await metrics.text(), type: METRICS_TYPE };
    } catch (cause) {
      this.#options.log.error({ reason: String(cause) }, 'the metrics could not be read');
      return { status: 500, text: `${String(cause)}\n` };
    }
  }
}
