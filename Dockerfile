FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY console/package.json console/
RUN npm ci --ignore-scripts --loglevel=error
COPY . .
RUN node scripts/generate.ts && node scripts/package.ts
# What is left is native: the rest is in what was built. The base image brings the Node that an npm package brings elsewhere.
RUN npm pkg delete workspaces && npm prune --omit=dev --ignore-scripts && rm -rf node_modules/node-linux-* node_modules/.bin

FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production \
    PENSTOCK_HOST=0.0.0.0 \
    PENSTOCK_WORKER_HTTP=5115 \
    PENSTOCK_DATA_DIR=/data \
    PENSTOCK_DATABASE_URL=file:/data/penstock.db
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/package.json package.json
COPY --from=build /app/prisma/migrations prisma/migrations
COPY --from=build /app/dist dist
COPY --from=build /app/console/dist console/dist
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 5115
# Asks whatever is configured, for every role.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["node", "dist/main.js", "health"]
ENTRYPOINT ["node", "dist/main.js"]
CMD ["all"]
