import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';

type BuildSerializers = ReturnType<typeof SerializerSelector>;

/**
 * Compiles what writes an answer when the first answer of that shape is due: there are hundreds of shapes, mostly of
 * errors, and compiling all of them took half the time of a start. Those that read the same are compiled once.
 */
export function lazySerializers(): BuildSerializers {
  const build = SerializerSelector();
  return (shared, options) => {
    const compile = build(shared, options);
    const compiled = new Map<string, ReturnType<typeof compile>>();
    return (route) => {
      const text = JSON.stringify(route.schema);
      return (answer) => {
        const serialize = compiled.get(text) ?? compile(route);
        compiled.set(text, serialize);
        return serialize(answer);
      };
    };
  };
}
