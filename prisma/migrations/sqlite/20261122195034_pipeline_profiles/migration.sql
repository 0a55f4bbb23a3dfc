-- CreateTable
CREATE TABLE "PipelineProfile" (
    "pipelineId" TEXT NOT NULL,
    "connectionProfileId" TEXT NOT NULL,

    PRIMARY KEY ("pipelineId", "connectionProfileId"),
    CONSTRAINT "PipelineProfile_pipelineId_fkey" FOREIGN KEY ("pipelineId") REFERENCES "Pipeline" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "PipelineProfile_connectionProfileId_fkey" FOREIGN KEY ("connectionProfileId") REFERENCES "ConnectionProfile" ("id") ON DELETE RESTRICT ON UPDATE CASCADE
);

-- CreateIndex
CREATE INDEX "PipelineProfile_connectionProfileId_idx" ON "PipelineProfile"("connectionProfileId");
