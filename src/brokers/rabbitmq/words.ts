/** How a server's refusal is said. */
import { ShoalError } from '../../lib/errors.ts';

export function refusal(error: unknown): Error {
  if (error instanceof ShoalError) return error;
  const text = withoutUser(error instanceof Error ? error.message || String(error) : String(error));
  if (/Handshake terminated.*ACCESS_REFUSED/s.test(text)) {
    return new ShoalError('SH3110', 'RabbitMQ does not let this user in', {
      hint: 'the address is amqp://USER:PASSWORD@HOST/VHOST, each part percent-encoded; guest comes from localhost only',
    });
  }
  // The library keeps the server's reason to itself.
  if (/NOT_ALLOWED|Expected ConnectionOpenOk/.test(text)) {
    return new ShoalError('SH3111', 'RabbitMQ does not open this virtual host', {
      why: text,
      hint: 'rabbitmqctl add_vhost VHOST; rabbitmqctl set_permissions -p VHOST USER …; the address ends in /VHOST',
    });
  }
  if (/ACCESS_REFUSED/.test(text)) {
    return new ShoalError('SH3112', 'the RabbitMQ user lacks a right', {
      why: text,
      hint: 'docs/how-to/broker-rabbitmq.md lists the rights',
    });
  }
  if (/PRECONDITION_FAILED.*inequivalent/s.test(text)) {
    return new ShoalError('SH3113', 'a queue of this cluster exists with other properties', {
      why: text,
      hint: 'delete that queue, or give the cluster another name; nothing in it is precious',
    });
  }
  return error instanceof Error ? error : new Error(text);
}

/** The server's own words name the user. */
export function withoutUser(text: string): string {
  return text.replace(/ (for|by) user '[^']*'/g, '');
}

/** Bytes that a message may have, where one was refused for having more. */
export function sizeLimitIn(text: string): number | undefined {
  const limit = /message size \d+ is larger than (?:the )?(?:configured )?max(?:imum)? size (\d+)/.exec(text)?.[1];
  return limit === undefined ? undefined : Number(limit);
}
