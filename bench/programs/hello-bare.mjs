import { isMainThread, parentPort, Worker } from 'node:worker_threads';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  worker.postMessage('world');
  worker.once('message', (greeting) => {
    console.log(greeting);
    void worker.terminate();
  });
} else {
  parentPort.once('message', (name) => parentPort.postMessage(`hello, ${name}`));
}
