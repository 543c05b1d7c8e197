import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

const answerMs = 2_000;

/** Whether whoever listens there answers in TLS, with whatever certificate. Undefined: nobody listens. */
export function speaksTls(host: string, port: number): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    let answer: boolean | undefined;
    const socket = connect(port, host, () => {
      answer = false;
    });
    const secure = connectTls({ socket, rejectUnauthorized: false }, () => {
      answer = true;
      secure.destroy();
    });
    const late = setTimeout(() => secure.destroy(), answerMs);
    // An alert is TLS as well.
    secure.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code?.includes('ALERT')) answer = true;
    });
    secure.on('close', () => {
      clearTimeout(late);
      socket.destroy();
      resolve(answer);
    });
  });
}
