import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from '@grpc/grpc-js';

const PATH = '/bench.Echo/Stream';
const MESSAGE = Buffer.alloc(128, 'm');
const OUTSTANDING = 64;

const asIs = (bytes: Buffer): Buffer => bytes;

/** Small messages there and back over one stream of gRPC, both of its ends in this process. @returns how many, per second */
export async function streamMessages(milliseconds: number): Promise<number> {
  const server = new Server();
  const method = {
    ...{ path: PATH, requestStream: true, responseStream: true },
    ...{ requestSerialize: asIs, requestDeserialize: asIs },
    ...{ responseSerialize: asIs, responseDeserialize: asIs },
  };
  server.addService(
    { Stream: method },
    {
      Stream(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', (message: Buffer) => call.write(message));
        call.on('end', () => call.end());
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  try {
    return await echoes(client, milliseconds);
  } finally {
    client.close();
    server.forceShutdown();
  }
}

function echoes(client: Client, milliseconds: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = client.makeBidiStreamRequest(PATH, asIs, asIs);
    const startedMs = performance.now();
    let count = 0;
    call.on('data', () => {
      count += 1;
      if (performance.now() - startedMs < milliseconds) call.write(MESSAGE);
      else call.end();
    });
    call.on('error', reject);
    call.on('status', () => resolve((count * 1000) / (performance.now() - startedMs)));
    for (let i = 0; i < OUTSTANDING; i += 1) call.write(MESSAGE);
  });
}
