/** The longest event that is waited for; ours are far shorter. */
const maxCharacters = 16 * 1024 * 1024;

/** Reads server-sent events (WHATWG HTML, 9.2) and yields the data of each. Comments and other fields are passed over. */
export async function* eventsIn(body: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = '';
  let data: string[] = [];
  for await (const text of body.pipeThrough(new TextDecoderStream() as never) as ReadableStream<string>) {
    rest += text;
    if (rest.length > maxCharacters) throw new Error('an event has no end');
    // The last line may go on, and a carriage return at the end may be half a line break.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() as string;
    for (const line of lines) {
      if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
      if (line !== '' || data.length === 0) continue;
      yield data.join('\n');
      data = [];
    }
  }
  return undefined;
}
