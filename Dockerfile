FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --loglevel=error
COPY . .
# The base image brings the Node that the npm package would.
RUN node scripts/generate.ts && npm prune --omit=dev && rm -rf node_modules/node-* node_modules/.bin/node

FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production \
    PENSTOCK_HOST=0.0.0.0 \
    PENSTOCK_DATA_DIR=/data \
    PENSTOCK_DATABASE_URL=file:/data/penstock.db
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/package.json package.json
COPY --from=build /app/prisma prisma
COPY --from=build /app/src src
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 5115
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5115/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/main.ts"]
CMD ["all"]
