-- CreateTable
CREATE TABLE "ConnectionProfile" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "connector" TEXT NOT NULL,
    "config" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "createdAt" BIGINT NOT NULL,
    "updatedAt" BIGINT NOT NULL,

    CONSTRAINT "ConnectionProfile_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ConnectionTable" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "connector" TEXT NOT NULL,
    "connectionProfileId" TEXT,
    "tableType" TEXT NOT NULL,
    "config" TEXT NOT NULL,
    "schema" TEXT,
    "version" INTEGER NOT NULL DEFAULT 1,
    "createdAt" BIGINT NOT NULL,
    "updatedAt" BIGINT NOT NULL,

    CONSTRAINT "ConnectionTable_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Pipeline" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "query" TEXT NOT NULL,
    "parallelism" INTEGER NOT NULL,
    "checkpointIntervalMicros" BIGINT NOT NULL,
    "tags" TEXT NOT NULL,
    "graph" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "createdAt" BIGINT NOT NULL,
    "updatedAt" BIGINT NOT NULL,

    CONSTRAINT "Pipeline_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "PipelineTable" (
    "pipelineId" TEXT NOT NULL,
    "connectionTableId" TEXT NOT NULL,

    CONSTRAINT "PipelineTable_pkey" PRIMARY KEY ("pipelineId","connectionTableId")
);

-- CreateTable
CREATE TABLE "Job" (
    "id" TEXT NOT NULL,
    "pipelineId" TEXT NOT NULL,
    "createdAt" BIGINT NOT NULL,
    "updatedAt" BIGINT NOT NULL,
    "stop" TEXT NOT NULL DEFAULT 'none',
    "restartRequests" INTEGER NOT NULL DEFAULT 0,
    "state" TEXT NOT NULL DEFAULT 'Created',
    "stateSince" BIGINT NOT NULL,
    "failureCode" TEXT,
    "failureMessage" TEXT,
    "failureDomain" TEXT,
    "restartsDone" INTEGER NOT NULL DEFAULT 0,
    "runId" INTEGER NOT NULL DEFAULT 0,
    "tasks" INTEGER,
    "startTime" BIGINT,
    "finishTime" BIGINT,
    "worker" TEXT,
    "leaseUntil" BIGINT,

    CONSTRAINT "Job_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "JobMessage" (
    "id" TEXT NOT NULL,
    "jobId" TEXT NOT NULL,
    "createdAt" BIGINT NOT NULL,
    "operatorId" TEXT,
    "taskIndex" INTEGER,
    "level" TEXT NOT NULL,
    "code" TEXT,
    "message" TEXT NOT NULL,
    "details" TEXT NOT NULL,

    CONSTRAINT "JobMessage_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Leftover" (
    "id" TEXT NOT NULL,
    "connector" TEXT NOT NULL,
    "profile" TEXT NOT NULL,
    "config" TEXT NOT NULL,
    "jobId" TEXT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "taskIndex" INTEGER NOT NULL,
    "createdAt" BIGINT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "nextTry" BIGINT NOT NULL,

    CONSTRAINT "Leftover_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "ConnectionProfile_name_key" ON "ConnectionProfile"("name");

-- CreateIndex
CREATE INDEX "ConnectionProfile_createdAt_id_idx" ON "ConnectionProfile"("createdAt", "id");

-- CreateIndex
CREATE UNIQUE INDEX "ConnectionTable_name_key" ON "ConnectionTable"("name");

-- CreateIndex
CREATE INDEX "ConnectionTable_createdAt_id_idx" ON "ConnectionTable"("createdAt", "id");

-- CreateIndex
CREATE INDEX "ConnectionTable_connectionProfileId_idx" ON "ConnectionTable"("connectionProfileId");

-- CreateIndex
CREATE UNIQUE INDEX "Pipeline_name_key" ON "Pipeline"("name");

-- CreateIndex
CREATE INDEX "Pipeline_createdAt_id_idx" ON "Pipeline"("createdAt", "id");

-- CreateIndex
CREATE INDEX "PipelineTable_connectionTableId_idx" ON "PipelineTable"("connectionTableId");

-- CreateIndex
CREATE UNIQUE INDEX "Job_pipelineId_key" ON "Job"("pipelineId");

-- CreateIndex
CREATE INDEX "Job_worker_idx" ON "Job"("worker");

-- CreateIndex
CREATE INDEX "Job_leaseUntil_idx" ON "Job"("leaseUntil");

-- CreateIndex
CREATE INDEX "JobMessage_jobId_createdAt_id_idx" ON "JobMessage"("jobId", "createdAt", "id");

-- CreateIndex
CREATE INDEX "Leftover_nextTry_idx" ON "Leftover"("nextTry");

-- AddForeignKey
ALTER TABLE "ConnectionTable" ADD CONSTRAINT "ConnectionTable_connectionProfileId_fkey" FOREIGN KEY ("connectionProfileId") REFERENCES "ConnectionProfile"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "PipelineTable" ADD CONSTRAINT "PipelineTable_pipelineId_fkey" FOREIGN KEY ("pipelineId") REFERENCES "Pipeline"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "PipelineTable" ADD CONSTRAINT "PipelineTable_connectionTableId_fkey" FOREIGN KEY ("connectionTableId") REFERENCES "ConnectionTable"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Job" ADD CONSTRAINT "Job_pipelineId_fkey" FOREIGN KEY ("pipelineId") REFERENCES "Pipeline"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "JobMessage" ADD CONSTRAINT "JobMessage_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job"("id") ON DELETE CASCADE ON UPDATE CASCADE;
