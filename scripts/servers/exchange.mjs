// @ts-check
/** One question and its answer over TCP: enough of a protocol to know that a server is ready. */
import { connect } from 'node:net';

const answerMsMax = 5_000;

/**
 * @param {number} port
 * @param {string | Uint8Array} question
 * @param {(answer: Buffer) => boolean} isAnswer looks at all that came so far
 * @returns {Promise<Buffer>} rejects when the server closes, or is silent for too long
 */
export function exchange(port, question, isAnswer) {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const socket = connect(port, '127.0.0.1', () => void socket.write(question));
    socket.setTimeout(answerMsMax, () => socket.destroy(new Error(`port ${port} is silent`)));
    socket.on('data', (bytes) => {
      answer = Buffer.concat([answer, bytes]);
      if (!isAnswer(answer)) return;
      resolve(answer);
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`port ${port} said ${JSON.stringify(answer.toString('latin1').slice(0, 200))}`)));
  });
}
